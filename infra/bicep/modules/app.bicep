// One container app: one process of the one image, as its own identity, with a sign-in page where people come in.

import { identityType, pageType, secretType, settingType, tagsType } from '../types.bicep'

@description('Region of the app.')
param location string

@description('Tags of the app.')
param tags tagsType

@description('Name of the app; other apps of the environment reach it by this name.')
param name string

@description('Container Apps environment.')
param environmentId string

@description('Image with tag or digest.')
param image string

@description('Registry that the image comes from.')
param registryServer string

@description('Identity of the app: id and clientId.')
param identity identityType

@description('Arguments of the image\'s entry point: which process this is (infra/images/entrypoint.sh).')
param arguments string[]

@description('Environment variables: name and value, or name and secretRef.')
param environment settingType[]

@description('Secrets: name, keyVaultUrl and identity.')
param secrets secretType[] = []

@description('Workload profile of the environment that the app runs on.')
param workloadProfileName string = 'Consumption'

@description('Cores, as text because Bicep has no decimals. On Consumption 0.25 to 4, memory is twice as many GiB.')
param cpu string

@description('Memory, as in 2Gi.')
param memory string

@description('Web page with sign-in; null for none. There is no way to declare a page without sign-in.')
param page pageType?

@description('TCP port for other apps of the environment; 0 for none.')
param internalPort int = 0

@description('Probes; Container Apps know HTTP and TCP.')
param probes probesType = []

@description('Replicas when idle.')
param minReplicas int = 1

@description('Replicas at most.')
param maxReplicas int = 1

type probesType = resourceInput<'Microsoft.App/containerApps@2025-07-01'>.properties.template.containers[*].probes

var pageIngress = page == null
  ? null
  : {
      external: true
      transport: 'http'
      targetPort: page!.port
      allowInsecure: false
      ipSecurityRestrictions: map(range(0, length(page!.allowedRanges)), i => {
        name: 'clients-${i}'
        action: 'Allow'
        ipAddressRange: page!.allowedRanges[i]
      })
    }
var tcpIngress = {
  external: false
  transport: 'tcp'
  targetPort: internalPort
  exposedPort: internalPort
}

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: workloadProfileName
    configuration: {
      // A new revision replaces the old one once it is ready; both run side by side for some seconds, which the
      // pipeline stands (one run at a time by queue limit, writers that refuse each other).
      activeRevisionsMode: 'Single'
      maxInactiveRevisions: 5
      registries: [
        {
          server: registryServer
          identity: identity.id
        }
      ]
      secrets: secrets
      ingress: page != null ? pageIngress : (internalPort > 0 ? tcpIngress : null)
    }
    template: {
      containers: [
        {
          name: name
          image: image
          args: arguments
          env: concat(environment, [
            {
              // Tells DefaultAzureCredential and delta-rs which user-assigned identity to use.
              name: 'AZURE_CLIENT_ID'
              value: identity.clientId
            }
          ])
          resources: {
            cpu: json(cpu)
            memory: memory
          }
          probes: probes
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
      }
    }
  }
}

resource signIn 'Microsoft.App/containerApps/authConfigs@2025-07-01' = if (page != null) {
  parent: app
  name: 'current'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: page!.signInClientId
          clientSecretSettingName: 'sign-in-client-secret'
          openIdIssuer: '${az.environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            page!.signInClientId
            'api://${page!.signInClientId}'
          ]
          defaultAuthorizationPolicy: {
            allowedPrincipals: {
              groups: page!.allowedGroupIds
            }
          }
        }
      }
    }
    login: {
      cookieExpiration: {
        convention: 'FixedTime'
        timeToExpiration: '08:00:00'
      }
    }
  }
}

output fqdn string = page == null ? '' : app.properties.configuration.ingress.fqdn
