// One virtual network: apps in one subnet, private endpoints in another, and the DNS zones that make the names of
// Azure services resolve to those endpoints. Nothing here is reachable from the Internet.

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags object

@description('Stem of every name.')
param stem string

@description('Address space that does not overlap with the hospital network it will be peered with.')
param addressPrefix string

@description('Part of it for the apps: /27 or larger, only theirs.')
param appsPrefix string

@description('Part of it for private endpoints: one address each.')
param endpointsPrefix string

@description('Private DNS zones that the private endpoints of this deployment need.')
param dnsZones array

@description('False when the hospital keeps these zones in its own hub: then only the endpoints are made.')
param createDnsZones bool

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${stem}-endpoints'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'AllowNetworkTlsAndData'
        properties: {
          description: 'HTTPS, AMQP over TLS, SQL Server with its redirect range, PostgreSQL: what the endpoints serve.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRanges: [
            '443'
            '5671'
            '1433'
            '11000-11999'
            '5432'
          ]
        }
      }
      {
        name: 'DenyOtherInbound'
        properties: {
          description: 'Replaces the default rule that lets the whole virtual network in.'
          priority: 4096
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

// Container Apps needs most of the platform's own default rules; only what comes from the Internet is refused.
resource appRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-${stem}-apps'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'AllowHttps'
        properties: {
          description: 'People reach the sign-in page; which of them, ingress rules and Entra ID say.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '443'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-${stem}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'apps'
        properties: {
          addressPrefix: appsPrefix
          networkSecurityGroup: {
            id: appRules.id
          }
          delegations: [
            {
              name: 'container-apps'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointsPrefix
          networkSecurityGroup: {
            id: endpointRules.id
          }
          // Without this the rules above do not apply to private endpoints.
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [for zone in (createDnsZones ? dnsZones : []): {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [for (zone, i) in (createDnsZones ? dnsZones : []): {
  parent: zones[i]
  name: 'link-${stem}'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

output networkId string = network.id
output appsSubnetId string = '${network.id}/subnets/apps'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
