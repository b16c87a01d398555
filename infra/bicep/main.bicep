// patient_flow in one resource group: from Event Hubs to dashboards, private by default.
//
// Two deployments, since apps need an image and secrets that only exist after the first:
//   1. appsReady=false: network, services, registry, vault
//   2. put the secrets in, push the image, create database users; then appsReady=true
// infra/docs/deploy.md walks through it. Nothing of this was ever deployed by its authors: they had no subscription.
// Microsoft's compiler evaluates it without a warning (*.snapshot.json); run a what-if first.

import { groupIdType, settingType, tagsType } from 'types.bicep'

targetScope = 'resourceGroup'

@description('Workload: the first part of every name.')
@minLength(2)
@maxLength(8)
param workload string = 'pf'

@description('Environment: the second part of every name.')
@minLength(2)
@maxLength(5)
param environmentName string

@description('Region. Health data: one that is certified for it where the hospital is (HDS in France: francecentral).')
param location string = resourceGroup().location

@description('False in a region without availability zones (France South): nothing is then asked to spread over them.')
param hasZones bool = true

@description('Tags of all resources, besides workload and environment.')
param extraTags tagsType = {}

@description('True once secrets are set and the image is pushed.')
param appsReady bool

@description('True once the pseudonym key and the sign-in secret are set. On Kubernetes before the apps, which are never ready here.')
param secretsExist bool = appsReady

@description('Image repository and tag in the registry, as in patient-flow:4f2a9c1.')
param imageName string = 'patient-flow:none'

// --- network

@description('Address space of the virtual network: nothing that the hospital network uses.')
param addressPrefix string

@description('Subnet of the apps, /27 or larger.')
param appsPrefix string

@description('Subnet of the private endpoints, /27 or larger.')
param endpointsPrefix string

@description('Subnet of a machine for operators and build agents, /28 or larger.')
param operationsPrefix string

@description('DNS servers of the hospital that this network asks; empty for Azure\'s own.')
param dnsServers string[] = []

@description('True: web pages open inside the network only, and the hub and the lake never open for operatorIps.')
param isPrivate bool

@description('Single addresses (no CIDR) of operators and build agents outside the network; while not empty, firewalls let them in.')
param operatorIps string[] = []

@description('Addresses from which hospitals send without VPN or ExpressRoute (CIDR).')
param producerIpRanges string[] = []

@description('Addresses that may open web pages when the environment is not internal (CIDR), besides operatorIps.')
param clientIpRanges string[] = []

@description('Resource group that already holds the private DNS zones; empty to create them here.')
param dnsZonesResourceGroup string = ''

@description('Subscription of that resource group.')
param dnsZonesSubscriptionId string = subscription().subscriptionId

@description('False where the hospital links its zones to this network itself.')
param linkDnsZones bool = true

// --- people

@description('Object id of the Entra group that administers databases.')
param databaseAdminsGroupId groupIdType

@description('Name of that group, exactly as in Entra.')
@minLength(1)
param databaseAdminsGroupName string

@description('Entra group that may launch runs in Dagster.')
param operatorsGroupId groupIdType

@description('Entra group that may look at Dagster.')
param viewersGroupId groupIdType

@description('Entra group that may look at the dashboard.')
param dashboardGroupId groupIdType

@description('Entra group that may read gold in the lake; empty for none.')
param analystsGroupId string = ''

@description('Application (client) id of the Entra app registration of the sign-in page.')
@minLength(36)
@maxLength(36)
param signInClientId string

@description('Object ids of the service principals that send events.')
param producerPrincipalIds string[] = []

@description('True once hospitals send: from then on fifteen silent minutes are an alert (hub-silent).')
param hospitalsSend bool = false

@description('E-mail addresses that get alerts.')
param alertEmails string[]

// --- sizes

@description('Replication of the lake.')
param lakeSku string = 'Standard_ZRS'

@description('Days in which deleted files can be brought back; those that the pipeline replaced are billed as long (cost.md).')
param softDeleteDays int = 7

@description('Days that Capture keeps raw bodies.')
param captureRetentionDays int = 30

@description('Tier of Event Hubs.')
param eventHubSku string = 'Standard'

@description('Throughput units to start with.')
param throughputUnits int = 1

@description('Throughput units to grow to.')
param maxThroughputUnits int = 1

@description('Partitions of the hub: cannot be changed later in Standard.')
param partitionCount int = 4

@description('Hours that the hub keeps events; 168 is the most in Standard.')
param hubRetentionHours int = 168

@description('Which warehouse: synapse (dedicated pool), mssql (Azure SQL) or fabric (made outside, give fabricHost).')
@allowed([
  'synapse'
  'mssql'
  'fabric'
])
param warehouseKind string

@description('Size of the Synapse pool.')
param synapsePoolSku string = 'DW100c'

@description('Size of the Azure SQL database.')
param sqlDatabaseSku string = 'S2'

@description('Zone redundancy of the Azure SQL database.')
param isSqlZoneRedundant bool = false

@description('SQL endpoint of the Fabric warehouse, as in xyz.datawarehouse.fabric.microsoft.com.')
param fabricHost string = ''

@description('Name of the Fabric warehouse.')
param fabricDatabase string = ''

@description('Fabric workspaces (ids) that read exports through the lake\'s firewall: that of the warehouse.')
param fabricWorkspaceIds string[] = []

@description('Tier of the registry; only Premium is private.')
param registrySku string = 'Premium'

@description('False, for synthetic patients only: a deleted vault can be purged, and the environment made again at once.')
param isVaultPurgeProtected bool = true

@description('Disk of Dagster\'s PostgreSQL in GB. It can only grow: after dagster-storage-full write the next size here.')
param postgresStorageGB int = 32

@description('Size of Dagster\'s PostgreSQL.')
param postgresSkuName string = 'Standard_D2ds_v5'

@description('Tier of that size.')
param postgresSkuTier string = 'GeneralPurpose'

@description('Standby in another zone for Dagster\'s PostgreSQL.')
param isPostgresHighlyAvailable bool = false

@description('Backups of Dagster\'s PostgreSQL in the paired region.')
param isPostgresGeoRedundant bool = false

@description('Cores of the code location, where runs are executed.')
param pipelineCpu string = '2'

@description('Memory of the code location: on Consumption exactly twice its cores in GiB.')
param pipelineMemory string = '4Gi'

@description('Workload profile of the code location: Consumption up to 4 cores, beyond that a dedicated size as in D8.')
param pipelineProfile string = 'Consumption'

@description('Days that logs stay searchable.')
param logRetentionDays int = 90

@description('Gigabytes of logs a day at most; -1 for no limit.')
param logDailyQuotaGb int = -1

@description('Budget a month, in the currency of the subscription.')
param monthlyBudget int

@description('First day of the budget\'s first month.')
param budgetStartDate string

// --- settings of the pipeline

@description('IANA zone of the hospitals (PATIENT_FLOW_TIMEZONE).')
param timezone string = 'Europe/Paris'

@description('Department list (PATIENT_FLOW_DEPARTMENTS); {lake} stands for the storage account. Empty: the demo\'s.')
param departments string

@description('Source mapping (PATIENT_FLOW_SOURCE_MAPPING): a TOML file in the image. Empty for none.')
param sourceMapping string = ''

@description('Thresholds of escalation levels (PATIENT_FLOW_ESCALATION): a TOML file in the image. Empty: built in.')
param escalation string = ''

@description('Notes and targets of control charts (PATIENT_FLOW_CHART_NOTES): a TOML file in the image. Empty for none.')
param chartNotes string = ''

@description('Rules for nightly extracts (PATIENT_FLOW_EXTRACT_RULES): a TOML file in the image. Empty for none.')
param extractRules string = ''

@description('amqp, or websockets where only port 443 is open (PATIENT_FLOW_EVENTHUB_TRANSPORT).')
param eventHubTransport string = 'amqp'

@description('Proxy to the hub without a password, as in http://proxy:3128; empty for none (PATIENT_FLOW_HTTP_PROXY).')
param httpProxy string = ''

@description('Events that one micro-batch takes at most (PATIENT_FLOW_MAX_EVENTS_PER_RUN).')
param maxEventsPerRun int = 500000

@description('Seconds between two micro-batches, from 10 to 60 (PATIENT_FLOW_CADENCE_SECONDS).')
@minValue(10)
@maxValue(60)
param cadenceSeconds int = 60

@description('Days for which an event confirms an open stay (PATIENT_FLOW_UNCONFIRMED_DAYS).')
param unconfirmedDays int = 90

// --- alerts of the pipeline (infra/docs/runbook); off until a channel is set

@description('True once the secret alert-teams-webhook is set: alerts go to that Teams channel.')
param teamsWebhookExists bool = false

@description('True once the secret bed-alert-teams-webhook is set: alerts of beds go to that Teams channel.')
param bedTeamsWebhookExists bool = false

@description('True once the secret alert-smtp-password is set: alerts go by mail, with a password.')
param smtpPasswordExists bool = false

@description('Addresses that alerts go to, commas between; empty: no e-mail (PATIENT_FLOW_ALERT_EMAIL_TO).')
param alertEmailTo string = ''

@description('Addresses that alerts of beds go to, commas between (PATIENT_FLOW_BED_ALERT_EMAIL_TO).')
param bedAlertEmailTo string = ''

@description('Sender of alerts (PATIENT_FLOW_ALERT_EMAIL_FROM).')
param alertEmailFrom string = ''

@description('Mail server for alerts (PATIENT_FLOW_ALERT_SMTP_HOST).')
param alertSmtpHost string = ''

@description('Its port (PATIENT_FLOW_ALERT_SMTP_PORT).')
param alertSmtpPort int = 587

@description('starttls, tls or none (PATIENT_FLOW_ALERT_SMTP_SECURITY).')
param alertSmtpSecurity string = 'starttls'

@description('User of the mail server (PATIENT_FLOW_ALERT_SMTP_USER).')
param alertSmtpUser string = ''

@description('Address of the Dagster UI, for links in alerts (PATIENT_FLOW_ALERT_UI_URL).')
param alertUiUrl string = ''

@description('Address of the runbook, for links in alerts (PATIENT_FLOW_ALERT_RUNBOOK_URL).')
param alertRunbookUrl string = ''

@description('Minutes within which an event has to be in the warehouse (PATIENT_FLOW_ALERT_STALE_MINUTES).')
param alertStaleMinutes int = 15

@description('Hours without any event that are an alert (PATIENT_FLOW_ALERT_SILENCE_HOURS).')
param alertSilenceHours int = 6

@description('Share of quarantined events that is an alert (PATIENT_FLOW_ALERT_QUARANTINE_PCT).')
param alertQuarantinePct int = 20

@description('Occupancy that is an alert when it lasts (PATIENT_FLOW_ALERT_OCCUPANCY_PCT).')
param alertOccupancyPct int = 85

@description('Occupancy that is an alert at once (PATIENT_FLOW_ALERT_OCCUPANCY_CRITICAL_PCT).')
param alertOccupancyCriticalPct int = 95

@description('Occupancy below which the alert is over (PATIENT_FLOW_ALERT_OCCUPANCY_CLOSES_PCT).')
param alertOccupancyClosesPct int = 80

@description('Hours that high occupancy has to last (PATIENT_FLOW_ALERT_OCCUPANCY_HOURS).')
param alertOccupancyHours int = 2

@description('Days that Dagster keeps runs (PATIENT_FLOW_KEEP_RUNS_DAYS).')
param keepRunsDays int = 3

@description('Days that Dagster keeps failed runs (PATIENT_FLOW_KEEP_FAILED_RUNS_DAYS).')
param keepFailedRunsDays int = 30

@description('Days that the access log keeps its lines (PATIENT_FLOW_ACCESS_LOG_DAYS).')
param accessLogDays int = 365

@description('Smallest count that aggregate readers see (PATIENT_FLOW_SUPPRESS_BELOW); 0: nothing is published for them.')
param suppressBelow int = 0

// --- settings of the dashboard: rows by hospital and department need a proxy that says who may see which. The sign-in of
// Container Apps names the person only (X-MS-CLIENT-PRINCIPAL-NAME, from 127.0.0.1): there, everybody in the group sees all.

@description('Header with the user (PATIENT_FLOW_DASHBOARD_USER_HEADER); empty: whoever gets through the sign-in.')
param dashboardUserHeader string = ''

@description('Header with the hospitals that the user may see (PATIENT_FLOW_DASHBOARD_HOSPITALS_HEADER).')
param dashboardHospitalsHeader string = ''

@description('Header with the departments that the user may see (PATIENT_FLOW_DASHBOARD_DEPARTMENTS_HEADER).')
param dashboardDepartmentsHeader string = ''

@description('Header that is full for viewers who may see small numbers (PATIENT_FLOW_DASHBOARD_AGGREGATES_HEADER).')
param dashboardAggregatesHeader string = ''

@description('Addresses that these headers are believed from (PATIENT_FLOW_DASHBOARD_TRUSTED_PROXIES).')
param dashboardTrustedProxies string = '127.0.0.1,::1'

@description('Host names that people open the dashboard by, besides that of its Container App (PATIENT_FLOW_DASHBOARD_HOSTS).')
param dashboardHosts string[] = []

@description('Minutes after which the newest event makes the dashboard amber (PATIENT_FLOW_DASHBOARD_AMBER_MINUTES).')
param dashboardAmberMinutes int = 15

@description('Minutes after which the newest event makes the dashboard red (PATIENT_FLOW_DASHBOARD_RED_MINUTES).')
param dashboardRedMinutes int = 60

var stem = '${workload}-${environmentName}'
// Names that must be unique in the world end in a hash of the resource group: the same at every deployment.
var unique = take(uniqueString(resourceGroup().id), 6)
var lakeName = 'st${workload}${environmentName}${unique}'
var registryName = 'cr${workload}${environmentName}${unique}'
var vaultName = 'kv-${stem}-${unique}'
var tags = union(
  {
    workload: 'patient-flow'
    environment: environmentName
    'data-classification': 'health'
  },
  extraTags
)
var allowedRanges = isPrivate ? [] : operatorIps
// Container Apps ask for CIDR, which the firewall of storage refuses for a single address.
var operatorRanges = [for address in operatorIps: '${address}/32']
// A service has a public address only while somebody outside the network is let in.
var accessForOperators = empty(operatorIps) ? 'Disabled' : 'Enabled'
var accessForProducers = empty(concat(producerIpRanges, allowedRanges)) ? 'Disabled' : 'Enabled'
var zonesGroup = empty(dnsZonesResourceGroup) ? resourceGroup().name : dnsZonesResourceGroup
var zones = {
  blob: 'privatelink.blob.${az.environment().suffixes.storage}'
  dfs: 'privatelink.dfs.${az.environment().suffixes.storage}'
  namespace: 'privatelink.servicebus.windows.net'
  vault: 'privatelink.vaultcore.azure.net'
  registry: 'privatelink.azurecr.io'
  postgresqlServer: 'privatelink.postgres.database.azure.com'
  sqlServer: 'privatelink${az.environment().suffixes.sqlServerHostname}'
  Sql: 'privatelink.sql.azuresynapse.net'
}
var warehouseZones = warehouseKind == 'synapse'
  ? [
      zones.Sql
    ]
  : (warehouseKind == 'mssql'
      ? [
          zones.sqlServer
        ]
      : [])

module logs 'modules/logs.bicep' = {
  name: 'logs'
  params: {
    location: location
    tags: tags
    stem: stem
    retentionInDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
    alertEmails: alertEmails
  }
}

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    location: location
    tags: tags
    stem: stem
    addressPrefix: addressPrefix
    appsPrefix: appsPrefix
    endpointsPrefix: endpointsPrefix
    operationsPrefix: operationsPrefix
    dnsServers: dnsServers
  }
}

// In the resource group of the zones: without a link, names resolve to public addresses that are closed.
module privateZones 'modules/private-zones.bicep' = if (linkDnsZones) {
  name: 'private-zones-${stem}'
  scope: resourceGroup(dnsZonesSubscriptionId, zonesGroup)
  params: {
    tags: tags
    stem: stem
    zoneNames: concat(
      [
        zones.blob
        zones.dfs
        zones.namespace
        zones.vault
        zones.registry
        zones.postgresqlServer
      ],
      warehouseZones
    )
    createZones: empty(dnsZonesResourceGroup)
    networkId: network.outputs.networkId
  }
}

// Role assignments are named by their principals (a new identity needs new ones), which a what-if before the first
// deployment does not know: it then lists modules that use them by name. That is what `what-if-short-circuiting` says
// below and in other files.
module identities 'modules/identities.bicep' = {
  name: 'identities'
  params: {
    location: location
    tags: tags
    stem: stem
  }
}

module lake 'modules/lake.bicep' = {
  name: 'lake'
  params: {
    location: location
    tags: tags
    name: lakeName
    sku: lakeSku
    softDeleteDays: softDeleteDays
    captureRetentionDays: captureRetentionDays
    #disable-next-line what-if-short-circuiting
    pipelinePrincipalId: identities.outputs.pipeline.principalId
    #disable-next-line what-if-short-circuiting
    controlPrincipalId: identities.outputs.control.principalId
    #disable-next-line what-if-short-circuiting
    capturePrincipalId: identities.outputs.capture.principalId
    analystsGroupId: analystsGroupId
    allowedIpRanges: allowedRanges
    fabricWorkspaceIds: fabricWorkspaceIds
    workspaceId: logs.outputs.workspaceId
  }
}

module eventHub 'modules/eventhub.bicep' = {
  name: 'eventhub'
  params: {
    location: location
    tags: tags
    name: 'evhns-${stem}-${unique}'
    sku: eventHubSku
    throughputUnits: throughputUnits
    maxThroughputUnits: maxThroughputUnits
    hubName: 'patient-flow'
    partitionCount: partitionCount
    retentionHours: hubRetentionHours
    isZoneRedundant: hasZones
    consumerGroupName: 'pipeline'
    #disable-next-line what-if-short-circuiting
    pipelinePrincipalId: identities.outputs.pipeline.principalId
    producerPrincipalIds: producerPrincipalIds
    producerIpRanges: concat(producerIpRanges, allowedRanges)
    publicNetworkAccess: accessForProducers
    captureIdentityId: identities.outputs.capture.id
    captureAccountId: lake.outputs.id
    captureContainer: lake.outputs.captureContainer
    workspaceId: logs.outputs.workspaceId
  }
}

module vault 'modules/keyvault.bicep' = {
  name: 'vault'
  params: {
    location: location
    tags: tags
    name: vaultName
    #disable-next-line what-if-short-circuiting
    pipelinePrincipalId: identities.outputs.pipeline.principalId
    #disable-next-line what-if-short-circuiting
    dashboardPrincipalId: identities.outputs.dashboard.principalId
    signInPrincipalIds: [
      identities.outputs.control.principalId
      identities.outputs.dashboard.principalId
    ]
    secretsExist: secretsExist
    alertChannels: {
      teams: teamsWebhookExists
      bedTeams: bedTeamsWebhookExists
      smtp: smtpPasswordExists
    }
    isPurgeProtected: isVaultPurgeProtected
    operatorIps: operatorIps
    publicNetworkAccess: accessForOperators
    workspaceId: logs.outputs.workspaceId
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  params: {
    location: location
    tags: tags
    name: registryName
    sku: registrySku
    isZoneRedundant: hasZones
    pullPrincipalIds: [
      identities.outputs.pipeline.principalId
      identities.outputs.control.principalId
      identities.outputs.dashboard.principalId
      identities.outputs.migration.principalId
    ]
    allowedIpRanges: operatorIps
    publicNetworkAccess: registrySku == 'Premium' ? accessForOperators : 'Enabled'
    workspaceId: logs.outputs.workspaceId
  }
}

module postgres 'modules/postgres.bicep' = {
  name: 'postgres'
  params: {
    location: location
    tags: tags
    name: 'psql-${stem}-${unique}'
    skuName: postgresSkuName
    skuTier: postgresSkuTier
    storageSizeGB: postgresStorageGB
    isHighlyAvailable: isPostgresHighlyAvailable && hasZones
    isGeoRedundantBackup: isPostgresGeoRedundant
    adminGroupId: databaseAdminsGroupId
    adminGroupName: databaseAdminsGroupName
    operatorIps: operatorIps
    publicNetworkAccess: accessForOperators
    workspaceId: logs.outputs.workspaceId
  }
}

module synapse 'modules/warehouse-synapse.bicep' = if (warehouseKind == 'synapse') {
  name: 'warehouse-synapse'
  params: {
    location: location
    tags: tags
    name: 'syn-${stem}-${unique}'
    poolSku: synapsePoolSku
    lakeName: lakeName
    lakeDfsEndpoint: lake.outputs.dfsEndpoint
    workspaceContainer: 'synapse'
    adminGroupId: databaseAdminsGroupId
    adminGroupName: databaseAdminsGroupName
    operatorIps: operatorIps
    publicNetworkAccess: accessForOperators
    workspaceId: logs.outputs.workspaceId
  }
}

module sql 'modules/warehouse-sql.bicep' = if (warehouseKind == 'mssql') {
  name: 'warehouse-sql'
  params: {
    location: location
    tags: tags
    name: 'sql-${stem}-${unique}'
    databaseSku: sqlDatabaseSku
    isZoneRedundant: isSqlZoneRedundant && hasZones
    adminGroupId: databaseAdminsGroupId
    adminGroupName: databaseAdminsGroupName
    operatorIps: operatorIps
    publicNetworkAccess: accessForOperators
    workspaceId: logs.outputs.workspaceId
  }
}

var warehouseHost = warehouseKind == 'synapse'
  ? synapse!.outputs.host
  : (warehouseKind == 'mssql' ? sql!.outputs.host : fabricHost)
var warehouseDatabase = warehouseKind == 'fabric' ? fabricDatabase : 'patient_flow'
var warehouseServerId = warehouseKind == 'synapse'
  ? synapse!.outputs.serverId
  : (warehouseKind == 'mssql' ? sql!.outputs.serverId : '')
var warehouseDatabaseId = warehouseKind == 'synapse'
  ? synapse!.outputs.databaseId
  : (warehouseKind == 'mssql' ? sql!.outputs.databaseId : '')

// The lake has two faces: delta-rs and Dagster's run logs speak to blob, Synapse and Spark to dfs.
module blobEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-blob'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-blob'
    subnetId: network.outputs.endpointsSubnetId
    targetId: lake.outputs.id
    groupId: 'blob'
    dnsZone: zones.blob
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module dfsEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-dfs'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-dfs'
    subnetId: network.outputs.endpointsSubnetId
    targetId: lake.outputs.id
    groupId: 'dfs'
    dnsZone: zones.dfs
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module eventHubEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-eventhub'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-eventhub'
    subnetId: network.outputs.endpointsSubnetId
    targetId: eventHub.outputs.id
    groupId: 'namespace'
    dnsZone: zones.namespace
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module vaultEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-vault'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-vault'
    subnetId: network.outputs.endpointsSubnetId
    targetId: vault.outputs.id
    groupId: 'vault'
    dnsZone: zones.vault
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module registryEndpoint 'modules/private-endpoint.bicep' = if (registrySku == 'Premium') {
  name: 'endpoint-registry'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-registry'
    subnetId: network.outputs.endpointsSubnetId
    targetId: registry.outputs.id
    groupId: 'registry'
    dnsZone: zones.registry
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module postgresEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-postgres'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-postgres'
    subnetId: network.outputs.endpointsSubnetId
    targetId: postgres.outputs.id
    groupId: 'postgresqlServer'
    dnsZone: zones.postgresqlServer
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

module warehouseEndpoint 'modules/private-endpoint.bicep' = if (warehouseKind != 'fabric') {
  name: 'endpoint-warehouse'
  params: {
    location: location
    tags: tags
    name: 'pep-${stem}-warehouse'
    subnetId: network.outputs.endpointsSubnetId
    targetId: warehouseServerId
    groupId: warehouseKind == 'synapse' ? 'Sql' : 'sqlServer'
    dnsZone: warehouseKind == 'synapse' ? zones.Sql : zones.sqlServer
    dnsZonesResourceGroup: zonesGroup
    dnsZonesSubscriptionId: dnsZonesSubscriptionId
  }
  dependsOn: [
    privateZones
  ]
}

// The contract's settings. No login in the URL: the warehouse signs in with the app's managed identity.
var warehouseSettings settingType[] = [
  {
    name: 'PATIENT_FLOW_WAREHOUSE_URL'
    value: 'mssql+pyodbc://${warehouseHost}:1433/${warehouseDatabase}?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=yes&LoginTimeout=10'
  }
  {
    name: 'PATIENT_FLOW_WAREHOUSE_KIND'
    value: warehouseKind
  }
  {
    name: 'PATIENT_FLOW_TIMEZONE'
    value: timezone
  }
  {
    name: 'PATIENT_FLOW_SUPPRESS_BELOW'
    value: string(suppressBelow)
  }
  {
    // Names the hub; only the pipeline's identity may read it. The image leaves the connection string empty.
    name: 'PATIENT_FLOW_EVENTHUB_NAMESPACE'
    value: eventHub.outputs.fullyQualifiedNamespace
  }
]
// The pages and the alerts judge by the same thresholds.
var pageSettings settingType[] = [
  {
    name: 'PATIENT_FLOW_ESCALATION'
    value: escalation
  }
  {
    name: 'PATIENT_FLOW_CHART_NOTES'
    value: chartNotes
  }
  {
    name: 'PATIENT_FLOW_ALERT_OCCUPANCY_PCT'
    value: string(alertOccupancyPct)
  }
  {
    name: 'PATIENT_FLOW_ALERT_OCCUPANCY_CRITICAL_PCT'
    value: string(alertOccupancyCriticalPct)
  }
  {
    name: 'PATIENT_FLOW_ALERT_OCCUPANCY_CLOSES_PCT'
    value: string(alertOccupancyClosesPct)
  }
  {
    name: 'PATIENT_FLOW_ALERT_OCCUPANCY_HOURS'
    value: string(alertOccupancyHours)
  }
]
var dashboardSettings settingType[] = concat(warehouseSettings, pageSettings, [
  {
    name: 'PATIENT_FLOW_DASHBOARD_USER_HEADER'
    value: dashboardUserHeader
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_HOSPITALS_HEADER'
    value: dashboardHospitalsHeader
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_DEPARTMENTS_HEADER'
    value: dashboardDepartmentsHeader
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_AGGREGATES_HEADER'
    value: dashboardAggregatesHeader
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_TRUSTED_PROXIES'
    value: dashboardTrustedProxies
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_AMBER_MINUTES'
    value: string(dashboardAmberMinutes)
  }
  {
    name: 'PATIENT_FLOW_DASHBOARD_RED_MINUTES'
    value: string(dashboardRedMinutes)
  }
])
var pipelineSettings settingType[] = concat(warehouseSettings, pageSettings, [
  {
    name: 'PATIENT_FLOW_EVENTHUB_NAME'
    value: eventHub.outputs.hubName
  }
  {
    name: 'PATIENT_FLOW_EVENTHUB_CONSUMER_GROUP'
    value: eventHub.outputs.consumerGroupName
  }
  {
    name: 'PATIENT_FLOW_LAKE_URI'
    value: 'abfss://{layer}@${lake.outputs.name}.dfs.${az.environment().suffixes.storage}'
  }
  {
    name: 'PATIENT_FLOW_DEPARTMENTS'
    value: replace(departments, '{lake}', lake.outputs.name)
  }
  {
    name: 'PATIENT_FLOW_SOURCE_MAPPING'
    value: sourceMapping
  }
  {
    name: 'PATIENT_FLOW_EXTRACT_RULES'
    value: extractRules
  }
  {
    name: 'PATIENT_FLOW_EVENTHUB_TRANSPORT'
    value: eventHubTransport
  }
  {
    name: 'PATIENT_FLOW_HTTP_PROXY'
    value: httpProxy
  }
  {
    name: 'PATIENT_FLOW_MAX_EVENTS_PER_RUN'
    value: string(maxEventsPerRun)
  }
  {
    name: 'PATIENT_FLOW_CADENCE_SECONDS'
    value: string(cadenceSeconds)
  }
  {
    name: 'PATIENT_FLOW_UNCONFIRMED_DAYS'
    value: string(unconfirmedDays)
  }
  {
    name: 'PATIENT_FLOW_ALERT_EMAIL_TO'
    value: alertEmailTo
  }
  {
    name: 'PATIENT_FLOW_BED_ALERT_EMAIL_TO'
    value: bedAlertEmailTo
  }
  {
    name: 'PATIENT_FLOW_ALERT_EMAIL_FROM'
    value: alertEmailFrom
  }
  {
    name: 'PATIENT_FLOW_ALERT_SMTP_HOST'
    value: alertSmtpHost
  }
  {
    name: 'PATIENT_FLOW_ALERT_SMTP_PORT'
    value: string(alertSmtpPort)
  }
  {
    name: 'PATIENT_FLOW_ALERT_SMTP_SECURITY'
    value: alertSmtpSecurity
  }
  {
    name: 'PATIENT_FLOW_ALERT_SMTP_USER'
    value: alertSmtpUser
  }
  {
    name: 'PATIENT_FLOW_ALERT_UI_URL'
    value: alertUiUrl
  }
  {
    name: 'PATIENT_FLOW_ALERT_RUNBOOK_URL'
    value: alertRunbookUrl
  }
  {
    name: 'PATIENT_FLOW_ALERT_STALE_MINUTES'
    value: string(alertStaleMinutes)
  }
  {
    name: 'PATIENT_FLOW_ALERT_SILENCE_HOURS'
    value: string(alertSilenceHours)
  }
  {
    name: 'PATIENT_FLOW_ALERT_QUARANTINE_PCT'
    value: string(alertQuarantinePct)
  }
  {
    name: 'PATIENT_FLOW_KEEP_RUNS_DAYS'
    value: string(keepRunsDays)
  }
  {
    name: 'PATIENT_FLOW_KEEP_FAILED_RUNS_DAYS'
    value: string(keepFailedRunsDays)
  }
  {
    name: 'PATIENT_FLOW_ACCESS_LOG_DAYS'
    value: string(accessLogDays)
  }
])

module apps 'modules/apps.bicep' = if (appsReady) {
  name: 'apps'
  params: {
    location: location
    tags: tags
    stem: stem
    subnetId: network.outputs.appsSubnetId
    networkId: network.outputs.networkId
    isInternal: isPrivate
    isZoneRedundant: isPrivate && hasZones
    clientIpRanges: isPrivate ? clientIpRanges : concat(clientIpRanges, operatorRanges)
    image: '${registry.outputs.loginServer}/${imageName}'
    registryServer: registry.outputs.loginServer
    identities: {
      pipeline: identities.outputs.pipeline
      control: identities.outputs.control
      dashboard: identities.outputs.dashboard
      migration: identities.outputs.migration
    }
    pipelineSettings: pipelineSettings
    warehouseSettings: warehouseSettings
    dashboardSettings: dashboardSettings
    dashboardHosts: dashboardHosts
    postgresHost: postgres.outputs.host
    postgresDatabase: postgres.outputs.databaseName
    logAccount: lake.outputs.name
    keyUris: vault.outputs.keyUris
    alertChannels: {
      teams: teamsWebhookExists
      bedTeams: bedTeamsWebhookExists
      smtp: smtpPasswordExists
    }
    teamsWebhookUri: vault.outputs.teamsWebhookUri
    bedTeamsWebhookUri: vault.outputs.bedTeamsWebhookUri
    smtpSecretUri: vault.outputs.smtpSecretUri
    signInSecretUri: vault.outputs.signInSecretUri
    signInClientId: signInClientId
    operatorsGroupId: operatorsGroupId
    viewersGroupId: viewersGroupId
    dashboardGroupId: dashboardGroupId
    pipelineCpu: pipelineCpu
    pipelineMemory: pipelineMemory
    pipelineProfile: pipelineProfile
    workspaceId: logs.outputs.workspaceId
  }
  // Names must resolve to private addresses before an app asks for the first time.
  dependsOn: [
    blobEndpoint
    dfsEndpoint
    eventHubEndpoint
    vaultEndpoint
    registryEndpoint
    postgresEndpoint
    warehouseEndpoint
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    tags: tags
    stem: stem
    actionGroupId: logs.outputs.actionGroupId
    workspaceId: logs.outputs.workspaceId
    eventHubNamespaceId: eventHub.outputs.id
    lakeId: lake.outputs.id
    postgresId: postgres.outputs.id
    vaultId: vault.outputs.id
    hasWarehouse: warehouseKind != 'fabric'
    warehouseDatabaseId: warehouseDatabaseId
    warehouseLoadMetric: warehouseKind == 'synapse'
      ? 'DWUUsedPercent'
      : (startsWith(sqlDatabaseSku, 'S') ? 'dtu_consumption_percent' : 'cpu_percent')
    pipelineClientId: identities.outputs.pipeline.clientId
    appsRun: appsReady
    hospitalsSend: hospitalsSend
  }
}

module budget 'modules/budget.bicep' = {
  name: 'budget'
  params: {
    stem: stem
    amount: monthlyBudget
    startDate: budgetStartDate
    actionGroupId: logs.outputs.actionGroupId
  }
}

output registryLoginServer string = registry.outputs.loginServer
output vaultName string = vault.outputs.name
output lakeName string = lake.outputs.name
output eventHubNamespace string = eventHub.outputs.fullyQualifiedNamespace
output postgresHost string = postgres.outputs.host
output warehouseHost string = warehouseHost
output warehouseKind string = warehouseKind
output warehouseDatabase string = warehouseDatabase
output pipelineIdentityName string = identities.outputs.pipeline.name
output controlIdentityName string = identities.outputs.control.name
output dashboardIdentityName string = identities.outputs.dashboard.name
output migrationIdentityName string = identities.outputs.migration.name
output uiUrl string = appsReady ? apps!.outputs.uiUrl : ''
output viewerUrl string = appsReady ? apps!.outputs.viewerUrl : ''
output dashboardUrl string = appsReady ? apps!.outputs.dashboardUrl : ''
