// Where the image is kept.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the registry: letters and digits only, unique in the world.')
param name string

@description('Premium is the only tier with a private endpoint and a firewall; Basic will do for development.')
@allowed([
  'Basic'
  'Standard'
  'Premium'
])
param sku string

@description('True where the region has availability zones; only Premium spreads over them.')
param isZoneRedundant bool

@description('Object ids of the identities whose apps pull the image.')
param pullPrincipalIds string[]

@description('Addresses outside the network that may push and pull (Premium); the build agents, if they are outside.')
param allowedIpRanges string[]

@description('Enabled with firewall rules, or in the smaller tiers, which have none: there Entra ID alone protects the registry.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')
var isPremium = sku == 'Premium'
var ipRules = [
  for range in allowedIpRanges: {
    action: 'Allow'
    value: range
  }
]

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
  }
  properties: {
    adminUserEnabled: false
    publicNetworkAccess: publicNetworkAccess
    networkRuleBypassOptions: 'AzureServices'
    networkRuleSet: isPremium
      ? {
          defaultAction: 'Deny'
          ipRules: ipRules
        }
      : null
    zoneRedundancy: isPremium && isZoneRedundant ? 'Enabled' : 'Disabled'
    policies: {
      retentionPolicy: {
        // Untagged manifests only; released images are tagged with their commit.
        status: isPremium ? 'enabled' : 'disabled'
        days: 30
      }
    }
  }
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principal in pullPrincipalIds: {
    name: guid(registry.id, principal, acrPull)
    scope: registry
    properties: {
      roleDefinitionId: acrPull
      principalId: principal
      principalType: 'ServicePrincipal'
      description: 'Pulls the image.'
    }
  }
]

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: registry
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output id string = registry.id
output loginServer string = registry.properties.loginServer
