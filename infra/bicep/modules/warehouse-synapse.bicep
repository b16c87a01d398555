// The warehouse as a Synapse dedicated SQL pool (PATIENT_FLOW_WAREHOUSE_KIND=synapse).

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the workspace, unique in the world.')
param name string

@description('Size of the pool, as in DW100c. It is billed by the hour while it is not paused.')
param poolSku string

@description('Storage account of the lake.')
param lakeName string

@description('Address of the lake, as in https://ACCOUNT.dfs.core.windows.net/')
param lakeDfsEndpoint string

@description('Container that holds the workspace\'s own files.')
param workspaceContainer string

@description('Object id of the Entra group that administers the pool.')
param adminGroupId string

@description('Name of that group.')
param adminGroupName string

@description('Addresses outside the network from which administrators and Power BI may connect; empty in production.')
param operatorIps string[]

@description('Enabled only together with firewall rules; Disabled leaves the private endpoint as the one way in.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

resource workspace 'Microsoft.Synapse/workspaces@2021-06-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    azureADOnlyAuthentication: true
    // Entra ID only: no SQL login, hence no password in a template. The first administrator of the workspace.
    cspWorkspaceAdminProperties: {
      initialWorkspaceAdminObjectId: adminGroupId
    }
    defaultDataLakeStorage: {
      accountUrl: lakeDfsEndpoint
      filesystem: workspaceContainer
    }
    managedResourceGroupName: 'rg-${name}-managed'
    // What runs in the workspace may reach approved private endpoints of this tenant and nothing else.
    managedVirtualNetwork: 'default'
    managedVirtualNetworkSettings: {
      preventDataExfiltration: true
      allowedAadTenantIdsForLinking: [
        tenant().tenantId
      ]
    }
    publicNetworkAccess: publicNetworkAccess
    trustedServiceBypassEnabled: false
  }
}

resource administrators 'Microsoft.Synapse/workspaces/administrators@2021-06-01' = {
  parent: workspace
  name: 'activeDirectory'
  properties: {
    administratorType: 'ActiveDirectory'
    login: adminGroupName
    sid: adminGroupId
    tenantId: tenant().tenantId
  }
}

resource tls 'Microsoft.Synapse/workspaces/dedicatedSQLminimalTlsSettings@2021-06-01' = {
  parent: workspace
  name: 'default'
  properties: {
    minimalTlsVersion: '1.2'
  }
}

resource firewall 'Microsoft.Synapse/workspaces/firewallRules@2021-06-01' = [
  for (address, i) in operatorIps: {
    parent: workspace
    name: 'operator-${i}'
    properties: {
      startIpAddress: address
      endIpAddress: address
    }
  }
]

resource pool 'Microsoft.Synapse/workspaces/sqlPools@2021-06-01' = {
  parent: workspace
  name: 'patient_flow'
  location: location
  tags: tags
  sku: {
    name: poolSku
  }
  properties: {
    createMode: 'Default'
    // Accents in names of hospitals and departments sort and compare as people expect.
    collation: 'Latin1_General_100_CI_AS_KS_WS'
    storageAccountType: 'GRS'
  }
}

resource encryption 'Microsoft.Synapse/workspaces/sqlPools/transparentDataEncryption@2021-06-01' = {
  parent: pool
  name: 'current'
  properties: {
    status: 'Enabled'
  }
}

resource auditing 'Microsoft.Synapse/workspaces/auditingSettings@2021-06-01' = {
  parent: workspace
  name: 'default'
  properties: {
    state: 'Enabled'
    isAzureMonitorTargetEnabled: true
  }
}

module rights 'synapse-rights.bicep' = {
  name: 'synapse-rights'
  params: {
    lakeName: lakeName
    workspaceContainer: workspaceContainer
    #disable-next-line what-if-short-circuiting // the name of an assignment: see synapse-rights.bicep
    principalId: workspace.identity.principalId
  }
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: workspace
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource poolMetrics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: pool
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output serverId string = workspace.id
output databaseId string = pool.id
output host string = workspace.properties.connectivityEndpoints.sql
output databaseName string = pool.name
