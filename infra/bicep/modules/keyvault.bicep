// The secrets that cannot be a managed identity: the keys of pseudonyms, erasures and the access log, and the client secret
// of the sign-in page.
// They are put in by hand (deploy.md, step 4); a template would leave them in the deployment history.

import { alertChannelsType, tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Name of the vault: at most 24 characters, unique in the world.')
param name string

@description('Object id of the identity that runs the pipeline: the only one that may read the keys of pseudonyms and erasures.')
param pipelinePrincipalId string

@description('Object id of the identity of the dashboard, which writes the access log.')
param dashboardPrincipalId string

@description('Object ids of the identities whose apps have a sign-in page.')
param signInPrincipalIds string[]

@description('True once an operator has set the secrets. Rights are given on each secret alone, which has to exist then.')
param secretsExist bool

@description('The alert channels whose secrets exist.')
param alertChannels alertChannelsType

@description('True: nobody can purge the vault or a secret for 90 days, and a deleted environment has to be recovered. False, for synthetic patients only: a week, and it can be purged.')
param isPurgeProtected bool

@description('Addresses outside the network from which an operator may set secrets; empty in daily life.')
param operatorIps string[]

@description('Enabled only together with firewall rules; Disabled leaves the private endpoint as the one way in.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Disabled'

@description('Log Analytics workspace.')
param workspaceId string

var secretsUser = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4633458b-17de-408a-b874-0445c86b69e6'
)
var pseudonymKeyName = 'pseudonym-key'
var keyReaders = [
  {
    key: pseudonymKeyName
    principalId: pipelinePrincipalId
    description: 'The pipeline makes pseudonyms.'
  }
  {
    key: 'erasure-key'
    principalId: pipelinePrincipalId
    description: 'The pipeline remembers who was erased.'
  }
  {
    key: 'access-log-key'
    principalId: pipelinePrincipalId
    description: 'The pipeline verifies and prunes the access log.'
  }
  {
    key: 'access-log-key'
    principalId: dashboardPrincipalId
    description: 'The dashboard writes the access log.'
  }
]
var teamsSecretName = 'alert-teams-webhook'
var smtpSecretName = 'alert-smtp-password'
var bedTeamsSecretName = 'bed-alert-teams-webhook'
var alertSecretNames = concat(
  alertChannels.teams ? [teamsSecretName] : [],
  alertChannels.bedTeams ? [bedTeamsSecretName] : [],
  alertChannels.smtp ? [smtpSecretName] : []
)
var signInSecretName = 'sign-in-client-secret'

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // Cannot be changed later.
    softDeleteRetentionInDays: isPurgeProtected ? 90 : 7
    // Without the pseudonym key no new event joins its patient's history: nobody may purge it, not even an owner.
    // Azure refuses false: the property is set or absent.
    enablePurgeProtection: isPurgeProtected ? true : null
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      defaultAction: 'Deny'
      bypass: 'None'
      ipRules: [
        for address in operatorIps: {
          value: address
        }
      ]
    }
  }
}

resource keys 'Microsoft.KeyVault/vaults/secrets@2026-02-01' existing = [
  for reader in keyReaders: {
    parent: vault
    name: reader.key
  }
]

resource signInSecret 'Microsoft.KeyVault/vaults/secrets@2026-02-01' existing = {
  parent: vault
  name: signInSecretName
}

resource appsReadKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (reader, number) in keyReaders: if (secretsExist) {
    name: guid(vault.id, reader.key, reader.principalId, secretsUser)
    scope: keys[number]
    properties: {
      roleDefinitionId: secretsUser
      principalId: reader.principalId
      principalType: 'ServicePrincipal'
      description: reader.description
    }
  }
]

resource appsReadSignInSecret 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principal in (secretsExist ? signInPrincipalIds : []): {
    name: guid(vault.id, signInSecretName, principal, secretsUser)
    scope: signInSecret
    properties: {
      roleDefinitionId: secretsUser
      principalId: principal
      principalType: 'ServicePrincipal'
      description: 'The sign-in page of this app.'
    }
  }
]

resource alertSecrets 'Microsoft.KeyVault/vaults/secrets@2026-02-01' existing = [
  for name in alertSecretNames: {
    parent: vault
    name: name
  }
]

resource pipelineReadsAlertSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, number) in alertSecretNames: {
    name: guid(vault.id, name, pipelinePrincipalId, secretsUser)
    scope: alertSecrets[number]
    properties: {
      roleDefinitionId: secretsUser
      principalId: pipelinePrincipalId
      principalType: 'ServicePrincipal'
      description: 'The pipeline sends alerts.'
    }
  }
]

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'audit'
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

output id string = vault.id
output name string = vault.name
// Without a version: apps take the current one when they start, so a rotation needs a restart and no deployment.
output keyUris {
  pseudonym: string
  erasure: string
  accessLog: string
} = {
  pseudonym: '${vault.properties.vaultUri}secrets/${pseudonymKeyName}'
  erasure: '${vault.properties.vaultUri}secrets/erasure-key'
  accessLog: '${vault.properties.vaultUri}secrets/access-log-key'
}
output signInSecretUri string = '${vault.properties.vaultUri}secrets/${signInSecretName}'
output teamsWebhookUri string = alertChannels.teams ? '${vault.properties.vaultUri}secrets/${teamsSecretName}' : ''
output bedTeamsWebhookUri string = alertChannels.bedTeams
  ? '${vault.properties.vaultUri}secrets/${bedTeamsSecretName}'
  : ''
output smtpSecretUri string = alertChannels.smtp ? '${vault.properties.vaultUri}secrets/${smtpSecretName}' : ''
