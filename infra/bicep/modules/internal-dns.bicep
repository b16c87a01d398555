// Names of an environment without a public address: a zone of its own, known inside the network only. A module, since
// both the zone's name and the address are known only once the environment exists, and a resource's name has to be
// known when its deployment starts.

import { tagsType } from '../types.bicep'

@description('Domain of the environment: the name of the zone.')
param zoneName string

@description('Private address that every name in it leads to.')
param ipAddress string

@description('Virtual network that resolves these names.')
param networkId string

@description('Stem of every name.')
param stem string

@description('Tags of all resources.')
param tags tagsType

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: zoneName
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: zone
  name: 'link-${stem}'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

resource names 'Microsoft.Network/privateDnsZones/A@2024-06-01' = {
  parent: zone
  name: '*'
  properties: {
    ttl: 3600
    aRecords: [
      {
        ipv4Address: ipAddress
      }
    ]
  }
}
