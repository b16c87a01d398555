// Dagster's memory: runs, event log, schedules. No patient data (a test keeps it out of run metadata). The pipeline's
// own progress is in the lake, so losing this server loses history of runs, not events.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the server, unique in the world.')
param name string

@description('Compute size, as in Standard_B1ms or Standard_D2ds_v5.')
param skuName string

@description('Tier of that size.')
@allowed([
  'Burstable'
  'GeneralPurpose'
  'MemoryOptimized'
])
param skuTier string

@description('Gigabytes. One run a minute writes some 150 MB a day before the daily pruning.')
@allowed([
  32
  64
  128
  256
  512
  1024
])
param storageSizeGB int

@description('True for a standby in another zone (not with Burstable).')
param isHighlyAvailable bool

@description('Backups in the paired region.')
param isGeoRedundantBackup bool

@description('Object id of the Entra group that administers the server.')
param adminGroupId string

@description('Name of that group.')
param adminGroupName string

@description('Addresses outside the network from which an administrator may connect; empty in daily life.')
param operatorIps string[]

@description('Enabled only together with firewall rules; Disabled leaves the private endpoint as the one way in.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: skuName
    tier: skuTier
  }
  properties: {
    version: '16'
    // Entra ID only: the apps' identities sign in with tokens, there is no password anywhere.
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Disabled'
      tenantId: tenant().tenantId
    }
    network: {
      publicNetworkAccess: publicNetworkAccess
    }
    storage: {
      storageSizeGB: storageSizeGB
      // A server that grew by itself has another size than the template, and the next deployment is refused: a disk cannot
      // shrink (FlexibleServerDowngradeDiskSizeUnsupported). The alert dagster-storage-full asks for the next size.
      autoGrow: 'Disabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: isGeoRedundantBackup ? 'Enabled' : 'Disabled'
    }
    highAvailability: {
      mode: isHighlyAvailable ? 'ZoneRedundant' : 'Disabled'
    }
    maintenanceWindow: {
      customWindow: 'Enabled'
      dayOfWeek: 0
      startHour: 3
      startMinute: 0
    }
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2025-08-01' = {
  parent: server
  name: 'dagster'
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

// The service makes one change at a time: each of these waits for the one before.
resource requireTls 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2025-08-01' = {
  parent: server
  name: 'require_secure_transport'
  properties: {
    value: 'on'
    source: 'user-override'
  }
  dependsOn: [
    database
  ]
}

resource logConnections 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2025-08-01' = {
  parent: server
  name: 'log_connections'
  properties: {
    value: 'on'
    source: 'user-override'
  }
  dependsOn: [
    requireTls
  ]
}

@batchSize(1)
resource firewall 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2025-08-01' = [
  for (address, i) in operatorIps: {
    parent: server
    name: 'operator-${i}'
    properties: {
      startIpAddress: address
      endIpAddress: address
    }
    dependsOn: [
      logConnections
    ]
  }
]

// Last: a server that has only just been made refuses administrators (AadAuthOperationCannotBePerformed…).
resource administrators 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2025-08-01' = {
  parent: server
  name: adminGroupId
  properties: {
    principalName: adminGroupName
    principalType: 'Group'
    tenantId: tenant().tenantId
  }
  // Both: without operators the loop is empty, and waiting for it alone would be waiting for nothing.
  dependsOn: [
    logConnections
    firewall
  ]
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: server
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

output id string = server.id
output host string = server.properties.fullyQualifiedDomainName
output databaseName string = database.name
