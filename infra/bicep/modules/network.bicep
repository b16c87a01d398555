// One virtual network: apps in one subnet, private endpoints in another, and the DNS zones that make the names of
// Azure services resolve to those endpoints. Nothing here is reachable from the Internet.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Stem of every name.')
param stem string

@description('Address space that does not overlap with the hospital network it will be peered with.')
param addressPrefix string

@description('Part of it for the apps: /27 or larger, only theirs.')
param appsPrefix string

@description('Part of it for private endpoints: one address each.')
param endpointsPrefix string

@description('Part of it for a machine of operators and build agents.')
param operationsPrefix string

@description('DNS servers of the hospital, where they forward to the private zones; empty for Azure\'s own.')
param dnsServers string[]

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2025-09-01' = {
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
resource appRules 'Microsoft.Network/networkSecurityGroups@2025-09-01' = {
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

resource network 'Microsoft.Network/virtualNetworks@2025-09-01' = {
  name: 'vnet-${stem}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    dhcpOptions: {
      dnsServers: dnsServers
    }
    // No property `subnets`: with one, every deployment would delete what others added (gateway, Bastion). Absent, the
    // existing ones stay; ours are resources of their own.
  }
}

resource appsSubnet 'Microsoft.Network/virtualNetworks/subnets@2025-09-01' = {
  parent: network
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

// A network takes one change at a time: each subnet waits for the one before.
resource endpointsSubnet 'Microsoft.Network/virtualNetworks/subnets@2025-09-01' = {
  parent: network
  name: 'endpoints'
  properties: {
    addressPrefix: endpointsPrefix
    networkSecurityGroup: {
      id: endpointRules.id
    }
    // Without this the rules above do not apply to private endpoints.
    privateEndpointNetworkPolicies: 'Enabled'
  }
  dependsOn: [
    appsSubnet
  ]
}

// For a machine inside the network (deploy.md, step 8): operators and build agents work from it.
resource operationsRules 'Microsoft.Network/networkSecurityGroups@2025-09-01' = {
  name: 'nsg-${stem}-operations'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'AllowNetworkShell'
        properties: {
          description: 'SSH and RDP from Bastion or the hospital network, never from the Internet.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRanges: [
            '22'
            '3389'
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

resource operationsSubnet 'Microsoft.Network/virtualNetworks/subnets@2025-09-01' = {
  parent: network
  name: 'operations'
  properties: {
    addressPrefix: operationsPrefix
    networkSecurityGroup: {
      id: operationsRules.id
    }
  }
  dependsOn: [
    endpointsSubnet
  ]
}

output networkId string = network.id
output appsSubnetId string = appsSubnet.id
output endpointsSubnetId string = endpointsSubnet.id
