// Where hospitals send their events: one namespace, one hub, one consumer group per reader, Capture to the lake.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the namespace, unique in the world.')
param name string

@description('Standard is the smallest tier with Capture, own consumer groups and private endpoints.')
@allowed([
  'Standard'
  'Premium'
])
param sku string

@description('Throughput units (Standard: 1,000 events/s or 1 MB/s in, 4,096 events/s or 2 MB/s out, each).')
param throughputUnits int

@description('Throughput units that the namespace may grow to by itself; it never shrinks by itself.')
param maxThroughputUnits int

@description('True where the region has availability zones.')
param isZoneRedundant bool

@description('Name of the hub (PATIENT_FLOW_EVENTHUB_NAME).')
param hubName string

@description('Partitions: cannot be changed later in Standard. At least one per expected throughput unit.')
param partitionCount int

@description('Hours that the hub keeps events: the longest outage of the pipeline without a gap.')
param retentionHours int

@description('Consumer group of the pipeline (PATIENT_FLOW_EVENTHUB_CONSUMER_GROUP).')
param consumerGroupName string

@description('Object id of the identity that runs the pipeline.')
param pipelinePrincipalId string

@description('Object ids of the service principals of hospitals that send events.')
param producerPrincipalIds string[]

@description('Addresses outside the network from which hospitals send; empty when all come through VPN or ExpressRoute.')
param producerIpRanges string[]

@description('Resource id of the identity that Capture writes with.')
param captureIdentityId string

@description('Storage account that Capture writes to.')
param captureAccountId string

@description('Container that Capture writes to.')
param captureContainer string

@description('Enabled only together with firewall rules; Disabled leaves the private endpoint as the one way in.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

var dataReceiver = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'a638d3c7-ab3a-418d-83e6-5f17a39d4fde'
)
var dataSender = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '2b629674-e913-4c01-ae53-ef4638d8f975'
)

resource namespace 'Microsoft.EventHub/namespaces@2026-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
    tier: sku
    capacity: throughputUnits
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${captureIdentityId}': {}
    }
  }
  properties: {
    // Entra ID only: no connection strings to leak or rotate.
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
    isAutoInflateEnabled: sku == 'Standard' && maxThroughputUnits > throughputUnits
    maximumThroughputUnits: sku == 'Standard' && maxThroughputUnits > throughputUnits ? maxThroughputUnits : 0
    zoneRedundant: isZoneRedundant
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2026-01-01' = {
  parent: namespace
  name: hubName
  properties: {
    partitionCount: partitionCount
    retentionDescription: {
      cleanupPolicy: 'Delete'
      retentionTimeInHours: retentionHours
    }
    // A copy of every body that no bug of ours can touch: bronze can be compared with it, or rebuilt from it.
    captureDescription: {
      enabled: true
      encoding: 'Avro'
      intervalInSeconds: 300
      sizeLimitInBytes: 104857600
      skipEmptyArchives: true
      destination: {
        name: 'EventHubArchive.AzureBlockBlob'
        identity: {
          type: 'UserAssigned'
          userAssignedIdentity: captureIdentityId
        }
        properties: {
          storageAccountResourceId: captureAccountId
          blobContainer: captureContainer
          archiveNameFormat: '{Namespace}/{EventHub}/{Year}/{Month}/{Day}/{Hour}/{Minute}/{Second}/{PartitionId}'
        }
      }
    }
  }
}

resource firewall 'Microsoft.EventHub/namespaces/networkRuleSets@2026-01-01' = {
  parent: namespace
  name: 'default'
  properties: {
    publicNetworkAccess: publicNetworkAccess
    defaultAction: 'Deny'
    trustedServiceAccessEnabled: true
    ipRules: [
      for range in producerIpRanges: {
        ipMask: range
        action: 'Allow'
      }
    ]
  }
  // After the hub: both change the namespace.
  dependsOn: [
    hub
  ]
}

resource pipelineGroup 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2026-01-01' = {
  parent: hub
  name: consumerGroupName
  properties: {
    userMetadata: 'patient_flow micro-batches. Nobody else may read with this group: readers would steal its partitions.'
  }
}

// For looking into the stream by hand without disturbing the pipeline.
resource debugGroup 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2026-01-01' = {
  parent: hub
  name: 'debug'
  properties: {
    userMetadata: 'Operators only. Bodies are identified patient data.'
  }
}

resource pipelineReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, pipelinePrincipalId, dataReceiver)
  scope: hub
  properties: {
    roleDefinitionId: dataReceiver
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
    description: 'The pipeline reads this hub.'
  }
}

resource producersSend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for producer in producerPrincipalIds: {
    name: guid(hub.id, producer, dataSender)
    scope: hub
    properties: {
      roleDefinitionId: dataSender
      principalId: producer
      principalType: 'ServicePrincipal'
      description: 'A hospital sends to this hub and cannot read it.'
    }
  }
]

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: namespace
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

output id string = namespace.id
output fullyQualifiedNamespace string = '${namespace.name}.servicebus.windows.net'
output hubName string = hub.name
output consumerGroupName string = pipelineGroup.name
