// What the Synapse workspace may do in the lake. A module of its own, so that the names of the assignments come from the
// workspace's principal: a workspace that was deleted and made again has a new one, and an assignment keeps the old.

@description('Storage account of the lake.')
param lakeName string

@description('Container that holds the workspace\'s own files.')
param workspaceContainer string

@description('Object id of the workspace\'s managed identity.')
param principalId string

var blobDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
)
var blobDataReader = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
)

resource lake 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: lakeName
}

resource lakeBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' existing = {
  parent: lake
  name: 'default'
}

resource gold 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' existing = {
  parent: lakeBlobs
  name: 'gold'
}

resource workspaceFiles 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' existing = {
  parent: lakeBlobs
  name: workspaceContainer
}

// COPY INTO reads the load's Parquet files below gold with the workspace's identity.
resource poolReadsGold 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(gold.id, principalId, blobDataReader)
  scope: gold
  properties: {
    roleDefinitionId: blobDataReader
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'COPY INTO reads what the pipeline exported.'
  }
}

resource workspaceKeepsFiles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspaceFiles.id, principalId, blobDataContributor)
  scope: workspaceFiles
  properties: {
    roleDefinitionId: blobDataContributor
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'The workspace keeps its own files.'
  }
}
