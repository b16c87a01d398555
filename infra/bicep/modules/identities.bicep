// Who acts: one managed identity per job, so that each can do its job and nothing else. Rights are given where the
// resources are declared (storage, eventhub, keyvault, registry), never wider than one container, hub or secret.

import { identityType, tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Stem of every name.')
param stem string

// Runs of the pipeline: reads the hub, writes the lake and the warehouse, knows the pseudonym key.
resource pipeline 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${stem}-pipeline'
  location: location
  tags: tags
}

// Dagster's web UI and daemon: run history and run logs only. They never see an event.
resource control 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${stem}-control'
  location: location
  tags: tags
}

// Dashboard: reads the warehouse, as a database user with the reader role.
resource dashboard 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${stem}-dashboard'
  location: location
  tags: tags
}

// `patient-flow warehouse init` at a deployment: changes tables and views of the warehouse. The pipeline itself may not.
resource migration 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${stem}-migration'
  location: location
  tags: tags
}

// Event Hubs Capture: writes raw bodies to the capture container.
resource capture 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${stem}-capture'
  location: location
  tags: tags
}

output pipeline identityType = {
  id: pipeline.id
  name: pipeline.name
  clientId: pipeline.properties.clientId
  principalId: pipeline.properties.principalId
}
output control identityType = {
  id: control.id
  name: control.name
  clientId: control.properties.clientId
  principalId: control.properties.principalId
}
output dashboard identityType = {
  id: dashboard.id
  name: dashboard.name
  clientId: dashboard.properties.clientId
  principalId: dashboard.properties.principalId
}
output migration identityType = {
  id: migration.id
  name: migration.name
  clientId: migration.properties.clientId
  principalId: migration.properties.principalId
}
output capture identityType = {
  id: capture.id
  name: capture.name
  clientId: capture.properties.clientId
  principalId: capture.properties.principalId
}
