// The private DNS zones in which the names of Azure services resolve to private endpoints, and their links to this
// network. Runs in the resource group that holds the zones: this one, or the hospital's (role Private DNS Zone
// Contributor there, deploy.md). Azure refuses a second link of one zone to one network: where the hospital links its
// zones itself, main.bicep leaves this module out (linkDnsZones).

import { tagsType } from '../types.bicep'

@description('Tags of all resources.')
param tags tagsType

@description('Stem of every name.')
param stem string

@description('Names of the zones.')
param zoneNames string[]

@description('True: create the zones. False: they exist, and only the links are made.')
param createZones bool

@description('Virtual network that resolves the names.')
param networkId string

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in (createZones ? zoneNames : []): {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource existingZones 'Microsoft.Network/privateDnsZones@2024-06-01' existing = [
  for zone in zoneNames: {
    name: zone
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zoneNames: {
    parent: existingZones[i]
    name: 'link-${stem}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: networkId
      }
    }
    dependsOn: [
      zones
    ]
  }
]
