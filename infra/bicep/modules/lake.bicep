// The lake: one storage account with hierarchical namespace, one container per layer, rights per container.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the storage account: 3 to 24 lower-case letters and digits, unique in the world.')
param name string

@description('Replication: Standard_ZRS survives a datacentre, Standard_GZRS also a region (see disaster-recovery.md).')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GZRS'
  'Standard_RAGZRS'
])
param sku string = 'Standard_ZRS'

@description('Days in which a deleted file can be brought back. Files that VACUUM deleted are billed as long.')
param softDeleteDays int

@description('Days that Capture keeps raw bodies: the window in which bronze itself can be rebuilt.')
param captureRetentionDays int

@description('Object id of the identity that runs the pipeline.')
param pipelinePrincipalId string

@description('Object id of the identity of Dagster\'s UI and daemon.')
param controlPrincipalId string

@description('Object id of the identity that Event Hubs Capture writes with.')
param capturePrincipalId string

@description('Object id of an Entra group that may read gold; empty for none.')
param analystsGroupId string

@description('Addresses outside the network that may reach the account; empty in production.')
param allowedIpRanges string[]

@description('Fabric workspaces (ids) that read exports with COPY INTO: each with a workspace identity, on an F capacity.')
param fabricWorkspaceIds string[]

@description('Log Analytics workspace.')
param workspaceId string

// Layers of the pipeline, Capture's raw copy, Dagster's run logs, and the workspace folder that Synapse insists on.
var containerNames = [
  'bronze'
  'silver'
  'gold'
  'capture'
  'dagster-logs'
  'synapse'
]

var blobDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
)
var blobDataReader = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
)
var blobDelegator = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'db58b8e5-c6ad-4a2a-8342-4190687cbf4a'
)

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    isHnsEnabled: true
    accessTier: 'Hot'
    // Entra ID only: no account key, hence no SAS signed with one.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    encryption: {
      keySource: 'Microsoft.Storage'
      // Second layer of encryption at the infrastructure; only possible at creation.
      requireInfrastructureEncryption: true
      services: {
        blob: {
          enabled: true
          keyType: 'Account'
        }
        file: {
          enabled: true
          keyType: 'Account'
        }
      }
    }
    // Not 'Disabled': Event Hubs Capture is a trusted service that comes from outside the network. Everything else is
    // refused by the default action.
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      defaultAction: 'Deny'
      bypass: 'AzureServices'
      // Fabric's COPY INTO comes from outside the network: trusted workspace access lets these workspaces in, and the
      // caller still needs its role on gold.
      resourceAccessRules: [
        for workspace in fabricWorkspaceIds: {
          tenantId: tenant().tenantId
          resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/Fabric/providers/Microsoft.Fabric/workspaces/${workspace}'
        }
      ]
      ipRules: [
        for range in allowedIpRanges: {
          value: range
          action: 'Allow'
        }
      ]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' = {
  parent: account
  name: 'default'
  properties: {
    // Versioning and point-in-time restore do not exist with a hierarchical namespace; soft delete does, for all
    // containers alike, and Delta keeps versions of its own. Gold is rewritten every minute: each MB a minute is 10 GB
    // of deleted files a week.
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      // Nobody deletes containers in daily life: longer costs nothing.
      days: 30
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = [
  for container in containerNames: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-08-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          // Tiers only, never a delete: files of a Delta table are deleted by VACUUM alone, which knows who reads them.
          // Bronze is read once and then only by a rebuild.
          name: 'cool-old-bronze'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'bronze/'
              ]
            }
            actions: {
              baseBlob: {
                tierToCool: {
                  daysAfterModificationGreaterThan: 60
                }
              }
            }
          }
        }
        {
          name: 'forget-captured-bodies'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'capture/'
              ]
            }
            actions: {
              baseBlob: {
                // Cool bills 30 days at least.
                tierToCool: captureRetentionDays > 30
                  ? {
                      daysAfterModificationGreaterThan: 1
                    }
                  : null
                delete: {
                  daysAfterModificationGreaterThan: captureRetentionDays
                }
              }
            }
          }
        }
        {
          // What a rebuild on a cluster stages and deletes again, unless it died: beside the Delta tables, not in them.
          name: 'forget-dead-rebuilds'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'bronze/_rebuild/'
                'gold/_rebuild/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 3
                }
              }
            }
          }
        }
        {
          // Parquet files that a big load hands to the warehouse (COPY INTO): of use for minutes.
          name: 'forget-exports'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'gold/_exports/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 1
                }
              }
            }
          }
        }
        {
          name: 'forget-run-logs'
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'dagster-logs/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 30
                }
              }
            }
          }
        }
      ]
    }
  }
}

// Rights. A loop gives the pipeline its three layers and the run logs (indices 0, 1, 2 and 4 of containerNames).
resource pipelineRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for i in [0, 1, 2, 4]: {
    name: guid(account.id, containerNames[i], pipelinePrincipalId, blobDataContributor)
    scope: containers[i]
    properties: {
      roleDefinitionId: blobDataContributor
      principalId: pipelinePrincipalId
      principalType: 'ServicePrincipal'
      description: 'The pipeline reads and writes ${containerNames[i]}.'
    }
  }
]

resource controlReadsLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, 'dagster-logs', controlPrincipalId, blobDataReader)
  scope: containers[4]
  properties: {
    roleDefinitionId: blobDataReader
    principalId: controlPrincipalId
    principalType: 'ServicePrincipal'
    description: 'The web UI shows run logs.'
  }
}

// The UI's download links are signed with a user delegation key, which is asked for at the account. It opens nothing
// that the identity could not open itself.
resource controlSignsLinks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, controlPrincipalId, blobDelegator)
  scope: account
  properties: {
    roleDefinitionId: blobDelegator
    principalId: controlPrincipalId
    principalType: 'ServicePrincipal'
    description: 'The web UI signs links to run logs.'
  }
}

resource captureRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, 'capture', capturePrincipalId, blobDataContributor)
  scope: containers[3]
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: capturePrincipalId
    principalType: 'ServicePrincipal'
    description: 'Event Hubs Capture writes raw bodies.'
  }
}

// Gold only. Silver holds silver/quarantine with raw bodies, so nobody gets a role on that container: pseudonymised
// events are opened by an ACL on silver/patient_events alone (deploy.md, step 8).
resource analystsReadGold 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(analystsGroupId)) {
  name: guid(account.id, 'gold', analystsGroupId, blobDataReader)
  scope: containers[2]
  properties: {
    roleDefinitionId: blobDataReader
    principalId: analystsGroupId
    principalType: 'Group'
    description: 'Analysts read gold.'
  }
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        // Reads, writes and deletes with the caller's identity: the answer to "who opened patient data?".
        categoryGroup: 'audit'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'Transaction'
        enabled: true
      }
    ]
  }
}

output id string = account.id
output name string = account.name
output captureContainer string = containerNames[3]
output dfsEndpoint string = account.properties.primaryEndpoints.dfs
