// The warehouse as a Synapse dedicated SQL pool (PATIENT_FLOW_WAREHOUSE_KIND=synapse).

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags object

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
param operatorIps array

@description('Enabled only together with firewall rules; Disabled leaves the private endpoint as the one way in.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

var blobDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
var blobDataReader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1')

resource workspace 'Microsoft.Synapse/workspaces@2021-06-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    azureADOnlyAuthentication: true
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

resource firewall 'Microsoft.Synapse/workspaces/firewallRules@2021-06-01' = [for (address, i) in operatorIps: {
  parent: workspace
  name: 'operator-${i}'
  properties: {
    startIpAddress: address
    endIpAddress: address
  }
}]

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

resource lake 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: lakeName
}

resource lakeBlobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' existing = {
  parent: lake
  name: 'default'
}

resource gold 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' existing = {
  parent: lakeBlobs
  name: 'gold'
}

resource workspaceFiles 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' existing = {
  parent: lakeBlobs
  name: workspaceContainer
}

// COPY INTO reads the load's Parquet files below gold with the workspace's identity.
resource poolReadsGold 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(gold.id, workspace.id, blobDataReader)
  scope: gold
  properties: {
    roleDefinitionId: blobDataReader
    principalId: workspace.identity.principalId
    principalType: 'ServicePrincipal'
    description: 'COPY INTO reads what the pipeline exported.'
  }
}

resource workspaceKeepsFiles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceFiles.id, workspace.id, blobDataContributor)
  scope: workspaceFiles
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: workspace.identity.principalId
    principalType: 'ServicePrincipal'
    description: 'The workspace keeps its own files.'
  }
}

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
