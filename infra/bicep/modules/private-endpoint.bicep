// One private endpoint of one service, and its name in the private DNS zone.

import { tagsType } from '../types.bicep'

@description('Region of the endpoint.')
param location string

@description('Tags of the endpoint.')
param tags tagsType

@description('Name of the endpoint.')
param name string

@description('Subnet that the endpoint takes its address from.')
param subnetId string

@description('Resource behind the endpoint.')
param targetId string

@description('Part of the resource that is exposed, as in blob, dfs, namespace, vault.')
param groupId string

@description('Private DNS zone, as in privatelink.dfs.core.windows.net.')
param dnsZone string

@description('Resource group that holds the DNS zones.')
param dnsZonesResourceGroup string

@description('Subscription that holds the DNS zones.')
param dnsZonesSubscriptionId string

resource endpoint 'Microsoft.Network/privateEndpoints@2025-09-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    customNetworkInterfaceName: 'nic-${name}'
    privateLinkServiceConnections: [
      {
        name: name
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            groupId
          ]
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {
  name: dnsZone
  scope: resourceGroup(dnsZonesSubscriptionId, dnsZonesResourceGroup)
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: replace(dnsZone, '.', '-')
        properties: {
          privateDnsZoneId: zone.id
        }
      }
    ]
  }
}
