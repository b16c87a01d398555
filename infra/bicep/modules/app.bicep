// One container app: one process of the one image, as its own identity, with a sign-in page where people come in.

@description('Region of the app.')
param location string

@description('Tags of the app.')
param tags object

@description('Name of the app; other apps of the environment reach it by this name.')
param name string

@description('Container Apps environment.')
param environmentId string

@description('Image with tag or digest.')
param image string

@description('Registry that the image comes from.')
param registryServer string

@description('Identity of the app: id and clientId.')
param identity object

@description('Arguments of the image\'s entry point: which process this is (infra/images/entrypoint.sh).')
param arguments array

@description('Environment variables: name and value, or name and secretRef.')
param environment array

@description('Secrets: name, keyVaultUrl and identity.')
param secrets array = []

@description('Workload profile of the environment that the app runs on.')
param workloadProfileName string = 'Consumption'

@description('Cores, as text because Bicep has no decimals. On Consumption 0.25 to 4, memory is twice as many GiB.')
param cpu string

@description('Memory, as in 2Gi.')
param memory string

@description('Ingress; empty for none.')
param ingress object = {}

@description('Probes; Container Apps know HTTP and TCP.')
param probes array = []

@description('Replicas when idle.')
param minReplicas int = 1

@description('Replicas at most.')
param maxReplicas int = 1

@description('Application (client) id of the Entra app registration; empty for no sign-in page.')
param signInClientId string = ''

@description('Entra groups whose members may come in.')
param allowedGroupIds array = []

resource app 'Microsoft.App/containerApps@2025-01-01' = {
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
      ingress: empty(ingress) ? null : ingress
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

resource signIn 'Microsoft.App/containerApps/authConfigs@2025-01-01' = if (!empty(signInClientId)) {
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
          clientId: signInClientId
          clientSecretSettingName: 'sign-in-client-secret'
          openIdIssuer: '${az.environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            signInClientId
            'api://${signInClientId}'
          ]
          defaultAuthorizationPolicy: {
            allowedPrincipals: {
              groups: allowedGroupIds
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

output fqdn string = empty(ingress) ? '' : app.properties.configuration.ingress.fqdn
