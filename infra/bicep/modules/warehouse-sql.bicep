// The warehouse as an Azure SQL database (PATIENT_FLOW_WAREHOUSE_KIND=mssql): enough for most hospital groups, and an
// order of magnitude cheaper than a dedicated pool (cost.md).

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the server, unique in the world.')
param name string

@description('Size of the database, as in S2, GP_Gen5_2 or HS_Gen5_4.')
param databaseSku string

@description('Another datacentre takes over by itself. General Purpose and up, in regions with zones.')
param isZoneRedundant bool = true

@description('Object id of the Entra group that administers the server.')
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

resource server 'Microsoft.Sql/servers@2025-01-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    version: '12.0'
    minimalTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
    restrictOutboundNetworkAccess: 'Enabled'
    administrators: {
      administratorType: 'ActiveDirectory'
      azureADOnlyAuthentication: true
      login: adminGroupName
      sid: adminGroupId
      tenantId: tenant().tenantId
      principalType: 'Group'
    }
  }
}

resource database 'Microsoft.Sql/servers/databases@2025-01-01' = {
  parent: server
  name: 'patient_flow'
  location: location
  tags: tags
  sku: {
    name: databaseSku
  }
  properties: {
    // Accents in names of hospitals and departments sort and compare as people expect.
    collation: 'Latin1_General_100_CI_AS_KS_WS'
    zoneRedundant: isZoneRedundant
    requestedBackupStorageRedundancy: 'Geo'
  }
}

// Transparent data encryption is on from the start. Declared here it would change the database at the same moment as
// the policy below, which the service refuses now and then.
resource backups 'Microsoft.Sql/servers/databases/backupShortTermRetentionPolicies@2025-01-01' = {
  parent: database
  name: 'default'
  properties: {
    retentionDays: 14
  }
}

resource firewall 'Microsoft.Sql/servers/firewallRules@2025-01-01' = [
  for (address, i) in operatorIps: {
    parent: server
    name: 'operator-${i}'
    properties: {
      startIpAddress: address
      endIpAddress: address
    }
  }
]

resource auditing 'Microsoft.Sql/servers/auditingSettings@2025-01-01' = {
  parent: server
  name: 'default'
  properties: {
    state: 'Enabled'
    isAzureMonitorTargetEnabled: true
    // Log Analytics keeps them for its own, longer time; this would hold for a storage account.
    retentionDays: 90
  }
}

resource threats 'Microsoft.Sql/servers/securityAlertPolicies@2025-01-01' = {
  parent: server
  name: 'default'
  properties: {
    state: 'Enabled'
    emailAccountAdmins: true
  }
}

// Auditing of a server goes where the diagnostic setting of its database master says; one on another database is not asked.
resource master 'Microsoft.Sql/servers/databases@2025-01-01' existing = {
  parent: server
  name: 'master'
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: master
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        // Who queried what, in all databases of the server.
        category: 'SQLSecurityAuditEvents'
        enabled: true
      }
    ]
  }
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource metrics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: database
  properties: {
    workspaceId: workspaceId
    metrics: [
      {
        category: 'Basic'
        enabled: true
      }
    ]
  }
}

output serverId string = server.id
output databaseId string = database.id
output host string = server.properties.fullyQualifiedDomainName
output databaseName string = database.name
