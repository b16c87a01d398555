// The processes: Dagster's code location, daemon and web UI (for operators, and read-only for viewers), the dashboard,
// and the jobs that create and change the warehouse's tables. One image for all.

import { alertChannelsType, groupIdType, identityType, secretType, settingType, tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Stem of every name.')
param stem string

@description('Subnet of the apps, delegated to Microsoft.App/environments.')
param subnetId string

@description('Virtual network, for the name of an internal environment.')
param networkId string

@description('True: pages open from the hospital network only. False: from the Internet, behind sign-in.')
param isInternal bool

@description('True spreads replicas over zones; cannot be changed later.')
param isZoneRedundant bool

@description('Addresses that may open pages (CIDR); empty for the whole network, or for nobody when the environment is not internal.')
param clientIpRanges string[]

@description('Image with tag or digest.')
param image string

@description('Registry that the image comes from.')
param registryServer string

@description('Identities: pipeline, control, dashboard, migration.')
param identities {
  pipeline: identityType
  control: identityType
  dashboard: identityType
  migration: identityType
}

@description('PATIENT_FLOW_* settings of the pipeline, the keys excepted.')
param pipelineSettings settingType[]

@description('PATIENT_FLOW_* settings of whoever opens the warehouse.')
param warehouseSettings settingType[]

@description('PATIENT_FLOW_* settings of the dashboard.')
param dashboardSettings settingType[]

@description('Host names that people open the dashboard by, besides that of its app.')
param dashboardHosts string[]

@description('Host of Dagster\'s PostgreSQL.')
param postgresHost string

@description('Database in it.')
param postgresDatabase string

@description('Storage account for run logs.')
param logAccount string

@description('Key Vault secrets with the keys.')
param keyUris {
  pseudonym: string
  erasure: string
  accessLog: string
}

@description('The alert channels whose secrets exist.')
param alertChannels alertChannelsType

@description('Key Vault secret with the Teams webhook of alerts; empty where that channel is off.')
param teamsWebhookUri string
param bedTeamsWebhookUri string

@description('Key Vault secret with the mail server\'s password; empty where that channel is off or needs none.')
param smtpSecretUri string

@description('Key Vault secret with the client secret of the sign-in page.')
param signInSecretUri string

@description('Application (client) id of the Entra app registration.')
@minLength(36)
param signInClientId string

@description('Entra group that may launch runs.')
param operatorsGroupId groupIdType

@description('Entra group that may look at the web UI.')
param viewersGroupId groupIdType

@description('Entra group that may look at the dashboard.')
param dashboardGroupId groupIdType

@description('Cores of the code location: runs are executed in it.')
param pipelineCpu string

@description('Memory of the code location.')
param pipelineMemory string

@description('Workload profile of the code location: Consumption (4 cores at most), or a dedicated size as in D8.')
param pipelineProfile string

@description('Log Analytics workspace.')
param workspaceId string

var ports = {
  code: 4000
  ui: 3000
  dashboard: 8050
}
// Without a rule Container Apps admits everybody. An empty list therefore means the whole hospital network where the
// environment is internal, and nobody where it has a public address.
var allowedRanges = empty(clientIpRanges) ? [isInternal ? '0.0.0.0/0' : '127.0.0.1/32'] : clientIpRanges
var signInSecrets = {
  control: [
    {
      name: 'sign-in-client-secret'
      keyVaultUrl: signInSecretUri
      identity: identities.control.id
    }
  ]
  dashboard: [
    {
      name: 'sign-in-client-secret'
      keyVaultUrl: signInSecretUri
      identity: identities.dashboard.id
    }
  ]
}
var dagsterSettings = [
  {
    name: 'DAGSTER_PG_HOST'
    value: postgresHost
  }
  {
    name: 'DAGSTER_PG_DATABASE'
    value: postgresDatabase
  }
  {
    name: 'DAGSTER_LOG_ACCOUNT'
    value: logAccount
  }
  {
    name: 'DAGSTER_CODE_HOST'
    value: 'code'
  }
]
// A role of the same name as the identity (infra/dagster/roles.sql).
var controlSettings = concat(dagsterSettings, [
  {
    name: 'DAGSTER_PG_USER'
    value: identities.control.name
  }
])

// The second node is there while a new revision starts beside the old one.
var dedicatedProfiles = pipelineProfile == 'Consumption'
  ? []
  : [
      {
        name: pipelineProfile
        workloadProfileType: pipelineProfile
        minimumCount: 1
        maximumCount: 2
      }
    ]

resource environment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: 'cae-${stem}'
  location: location
  tags: tags
  properties: {
    vnetConfiguration: {
      infrastructureSubnetId: subnetId
      internal: isInternal
    }
    zoneRedundant: isZoneRedundant
    workloadProfiles: concat(
      [
        {
          name: 'Consumption'
          workloadProfileType: 'Consumption'
        }
      ],
      dedicatedProfiles
    )
    // Through a diagnostic setting: no workspace key, and tables with proper columns.
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    // Traffic between apps is encrypted too.
    peerTrafficConfiguration: {
      encryption: {
        enabled: true
      }
    }
  }
}

#disable-next-line use-recent-api-versions // 2016-09-01, the only release, has no category groups
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: environment
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

module internalDns 'internal-dns.bicep' = if (isInternal) {
  name: 'internal-dns'
  params: {
    #disable-next-line what-if-short-circuiting // Azure makes this domain up: see internal-dns.bicep
    zoneName: environment.properties.defaultDomain
    ipAddress: environment.properties.staticIp
    networkId: networkId
    stem: stem
    tags: tags
  }
}

var channels = concat(
  alertChannels.teams
    ? [
        {
          name: 'alert-teams-webhook'
          uri: teamsWebhookUri
        }
      ]
    : [],
  alertChannels.bedTeams
    ? [
        {
          name: 'bed-alert-teams-webhook'
          uri: bedTeamsWebhookUri
        }
      ]
    : [],
  alertChannels.smtp
    ? [
        {
          name: 'alert-smtp-password'
          uri: smtpSecretUri
        }
      ]
    : []
)
var alertSecrets secretType[] = map(channels, channel => {
  name: channel.name
  keyVaultUrl: channel.uri
  identity: identities.pipeline.id
})
var keySecrets secretType[] = [
  {
    name: 'pseudonym-key'
    keyVaultUrl: keyUris.pseudonym
    identity: identities.pipeline.id
  }
  {
    name: 'erasure-key'
    keyVaultUrl: keyUris.erasure
    identity: identities.pipeline.id
  }
  {
    name: 'access-log-key'
    keyVaultUrl: keyUris.accessLog
    identity: identities.pipeline.id
  }
]
var keyEnvironment settingType[] = [
  {
    name: 'PATIENT_FLOW_PSEUDONYM_KEY'
    secretRef: 'pseudonym-key'
  }
  {
    name: 'PATIENT_FLOW_ERASURE_KEY'
    secretRef: 'erasure-key'
  }
  {
    name: 'PATIENT_FLOW_ACCESS_LOG_KEY'
    secretRef: 'access-log-key'
  }
]
var alertEnvironment settingType[] = concat(
  alertChannels.teams ? [{ name: 'PATIENT_FLOW_ALERT_TEAMS_WEBHOOK', secretRef: 'alert-teams-webhook' }] : [],
  alertChannels.bedTeams ? [{ name: 'PATIENT_FLOW_BED_ALERT_TEAMS_WEBHOOK', secretRef: 'bed-alert-teams-webhook' }] : [],
  alertChannels.smtp ? [{ name: 'PATIENT_FLOW_ALERT_SMTP_PASSWORD', secretRef: 'alert-smtp-password' }] : []
)

// Runs are executed inside the code location (WatchfulRunLauncher): a run a minute in a container of its own would spend
// most of its minute starting. Exactly one replica, since runs are children of this process.
module code 'app.bicep' = {
  name: 'app-code'
  params: {
    location: location
    tags: tags
    name: 'code'
    environmentId: environment.id
    image: image
    registryServer: registryServer
    identity: identities.pipeline
    arguments: [
      'code'
    ]
    secrets: concat(keySecrets, alertSecrets)
    environment: concat(dagsterSettings, pipelineSettings, alertEnvironment, keyEnvironment, [
      {
        name: 'DAGSTER_PG_USER'
        value: identities.pipeline.name
      }
    ])
    workloadProfileName: pipelineProfile
    cpu: pipelineCpu
    memory: pipelineMemory
    internalPort: ports.code
    probes: [
      {
        type: 'Startup'
        tcpSocket: {
          port: ports.code
        }
        // Importing the definitions takes up to a minute on one busy core: 300 s in all.
        periodSeconds: 10
        failureThreshold: 30
      }
      {
        type: 'Liveness'
        tcpSocket: {
          port: ports.code
        }
        periodSeconds: 30
      }
    ]
  }
}

// The only process without a port: when it hangs, the alert on missing ticks tells (alerts.bicep).
module daemon 'app.bicep' = {
  name: 'app-daemon'
  params: {
    location: location
    tags: tags
    name: 'daemon'
    environmentId: environment.id
    image: image
    registryServer: registryServer
    identity: identities.control
    arguments: [
      'daemon'
    ]
    environment: controlSettings
    cpu: '0.5'
    memory: '1Gi'
  }
}

module ui 'app.bicep' = {
  name: 'app-ui'
  params: {
    location: location
    tags: tags
    name: 'ui'
    environmentId: environment.id
    image: image
    registryServer: registryServer
    identity: identities.control
    arguments: [
      'ui'
    ]
    secrets: signInSecrets.control
    environment: controlSettings
    cpu: '0.5'
    memory: '1Gi'
    page: {
      port: ports.ui
      signInClientId: signInClientId
      allowedGroupIds: [
        operatorsGroupId
      ]
      allowedRanges: allowedRanges
    }
    probes: [
      {
        type: 'Readiness'
        httpGet: {
          port: ports.ui
          path: '/server_info'
        }
        initialDelaySeconds: 10
        failureThreshold: 10
      }
      {
        type: 'Liveness'
        httpGet: {
          port: ports.ui
          path: '/server_info'
        }
        initialDelaySeconds: 60
        periodSeconds: 30
        timeoutSeconds: 5
      }
    ]
  }
}

// The same UI with every mutation refused by the server, for a wider group.
module viewer 'app.bicep' = {
  name: 'app-viewer'
  params: {
    location: location
    tags: tags
    name: 'viewer'
    environmentId: environment.id
    image: image
    registryServer: registryServer
    identity: identities.control
    arguments: [
      'ui'
      '--read-only'
    ]
    secrets: signInSecrets.control
    environment: controlSettings
    cpu: '0.5'
    memory: '1Gi'
    page: {
      port: ports.ui
      signInClientId: signInClientId
      allowedGroupIds: [
        operatorsGroupId
        viewersGroupId
      ]
      allowedRanges: allowedRanges
    }
    probes: [
      {
        type: 'Liveness'
        httpGet: {
          port: ports.ui
          path: '/server_info'
        }
        initialDelaySeconds: 60
        periodSeconds: 30
        timeoutSeconds: 5
      }
    ]
    // Nobody looks, nothing runs: the first viewer of the morning waits some ten seconds.
    minReplicas: 0
  }
}

module dashboard 'app.bicep' = {
  name: 'app-dashboard'
  params: {
    location: location
    tags: tags
    name: 'dashboard'
    environmentId: environment.id
    image: image
    registryServer: registryServer
    identity: identities.dashboard
    arguments: [
      'dashboard'
    ]
    secrets: concat(signInSecrets.dashboard, [
      {
        name: 'access-log-key'
        keyVaultUrl: keyUris.accessLog
        identity: identities.dashboard.id
      }
    ])
    environment: concat(dashboardSettings, [
      {
        name: 'PATIENT_FLOW_ACCESS_LOG_KEY'
        secretRef: 'access-log-key'
      }
      {
        name: 'PATIENT_FLOW_DASHBOARD_HOSTS'
        value: join(
          concat(
            [
              'dashboard.${environment.properties.defaultDomain}'
            ],
            dashboardHosts
          ),
          ','
        )
      }
    ])
    cpu: '0.5'
    memory: '1Gi'
    page: {
      port: ports.dashboard
      signInClientId: signInClientId
      allowedGroupIds: [
        dashboardGroupId
      ]
      allowedRanges: allowedRanges
    }
    probes: [
      {
        type: 'Startup'
        tcpSocket: {
          port: ports.dashboard
        }
        periodSeconds: 5
        failureThreshold: 10
      }
      {
        type: 'Liveness'
        tcpSocket: {
          port: ports.dashboard
        }
        periodSeconds: 30
      }
    ]
    maxReplicas: 3
  }
}

// What changes tables and views of the warehouse: started by the deployment pipeline (init) or by hand (upgrade.md). One
// job per command, since a job that is started with other arguments loses the settings it was declared with.
var warehouseJobs = [
  {
    name: 'warehouse-init'
    arguments: [
      'init'
    ]
  }
  {
    name: 'warehouse-preview'
    arguments: [
      'migrate'
      '--dry-run'
    ]
  }
  {
    name: 'warehouse-migrate'
    arguments: [
      'migrate'
    ]
  }
]

resource warehouseJob 'Microsoft.App/jobs@2025-07-01' = [
  for job in warehouseJobs: {
    name: job.name
    location: location
    tags: tags
    identity: {
      type: 'UserAssigned'
      userAssignedIdentities: {
        '${identities.migration.id}': {}
      }
    }
    properties: {
      environmentId: environment.id
      workloadProfileName: 'Consumption'
      configuration: {
        triggerType: 'Manual'
        replicaTimeout: 1800
        replicaRetryLimit: 0
        manualTriggerConfig: {
          parallelism: 1
          replicaCompletionCount: 1
        }
        registries: [
          {
            server: registryServer
            identity: identities.migration.id
          }
        ]
      }
      template: {
        containers: [
          {
            name: job.name
            image: image
            args: concat(
              [
                'patient-flow'
                'warehouse'
              ],
              job.arguments
            )
            env: concat(warehouseSettings, [
              {
                name: 'AZURE_CLIENT_ID'
                value: identities.migration.clientId
              }
            ])
            resources: {
              cpu: json('0.5')
              memory: '1Gi'
            }
          }
        ]
      }
    }
  }
]

// One command of an operator inside the network, as the pipeline: the department list, a rebuild, an erasure. The
// execution is given the command with everything declared here (`infra/deploy ENVIRONMENT --run COMMAND`).
resource pipelineCommand 'Microsoft.App/jobs@2025-07-01' = {
  name: 'pipeline-command'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identities.pipeline.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: pipelineProfile
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 21600
      replicaRetryLimit: 0
      manualTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
      }
      registries: [
        {
          server: registryServer
          identity: identities.pipeline.id
        }
      ]
      secrets: keySecrets
    }
    template: {
      containers: [
        {
          name: 'pipeline-command'
          image: image
          args: [
            'patient-flow'
            'status'
          ]
          env: concat(pipelineSettings, keyEnvironment, [
            {
              name: 'AZURE_CLIENT_ID'
              value: identities.pipeline.clientId
            }
          ])
          resources: {
            cpu: json(pipelineCpu)
            memory: pipelineMemory
          }
        }
      ]
    }
  }
}

output environmentId string = environment.id
output codeId string = resourceId('Microsoft.App/containerApps', 'code')
output uiUrl string = 'https://${ui.outputs.fqdn}'
output viewerUrl string = 'https://${viewer.outputs.fqdn}'
output dashboardUrl string = 'https://${dashboard.outputs.fqdn}'
