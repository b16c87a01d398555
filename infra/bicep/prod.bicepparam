// Production: private, redundant over zones, sized for some hundred events a second (cost.md says what changes at 5,000).
using 'main.bicep'

param environmentName = 'prod'
param location = 'francecentral'

// Both change from one deployment to the next: the pipeline sets them.
param appsReady = bool(readEnvironmentVariable('APPS_READY', 'false'))
param imageName = readEnvironmentVariable('IMAGE_NAME', 'patient-flow:none')

param addressPrefix = '10.61.0.0/22'
param appsPrefix = '10.61.0.0/24'
param endpointsPrefix = '10.61.1.0/24'
param operationsPrefix = '10.61.2.0/26'
param isPrivate = true
// Empty but for the hour in which an operator sets secrets from outside the network.
param operatorIps = json(readEnvironmentVariable('OPERATOR_IPS', '[]'))
param producerIpRanges = json(readEnvironmentVariable('PRODUCER_IP_RANGES', '[]'))
// Where the hospital keeps its private DNS zones; empty to create them here.
param dnsZonesResourceGroup = readEnvironmentVariable('DNS_ZONES_RESOURCE_GROUP', '')
// The hospital's DNS servers, where they forward to those zones, as in ["10.0.0.4"].
param dnsServers = json(readEnvironmentVariable('DNS_SERVERS', '[]'))

// No defaults: without these the deployment is refused, and no page is published without sign-in.
param databaseAdminsGroupId = readEnvironmentVariable('DATABASE_ADMINS_GROUP_ID')
param databaseAdminsGroupName = readEnvironmentVariable('DATABASE_ADMINS_GROUP_NAME')
param operatorsGroupId = readEnvironmentVariable('OPERATORS_GROUP_ID')
param viewersGroupId = readEnvironmentVariable('VIEWERS_GROUP_ID')
param dashboardGroupId = readEnvironmentVariable('DASHBOARD_GROUP_ID')
param analystsGroupId = readEnvironmentVariable('ANALYSTS_GROUP_ID', '')
param signInClientId = readEnvironmentVariable('SIGN_IN_CLIENT_ID')
param producerPrincipalIds = json(readEnvironmentVariable('PRODUCER_PRINCIPAL_IDS', '[]'))
param hospitalsSend = bool(readEnvironmentVariable('HOSPITALS_SEND', 'false'))
param alertEmails = json(readEnvironmentVariable('ALERT_EMAILS', '[]'))

// Zones and the paired region: health data that cannot be measured again.
param lakeSku = 'Standard_GZRS'
param captureRetentionDays = 90

// Auto-inflate raises them and nothing lowers them: deploy.sh hands over what the namespace has now.
param throughputUnits = max(2, int(readEnvironmentVariable('THROUGHPUT_UNITS', '2')))
param maxThroughputUnits = 10
param partitionCount = 16
param hubRetentionHours = 168

// Until some 60 million rows of FactPatientFlow; 'synapse' or 'fabric' for those who have one (deploy.md, step 1).
param warehouseKind = 'mssql'
param sqlDatabaseSku = 'GP_Gen5_2'
// Ids of Fabric workspaces whose warehouse reads the lake's exports, for 'fabric'.
param fabricWorkspaceIds = json(readEnvironmentVariable('FABRIC_WORKSPACE_IDS', '[]'))
param isSqlZoneRedundant = true

param registrySku = 'Premium'
param postgresSkuName = 'Standard_D2ds_v5'
param postgresSkuTier = 'GeneralPurpose'
param postgresStorageGB = 64
param isPostgresHighlyAvailable = true
param isPostgresGeoRedundant = true

param pipelineCpu = '4'
param pipelineMemory = '8Gi'

// Access to health data: a year, searchable.
param logRetentionDays = 365
// A cap would drop the audit trail and, with the daemon's lines, raise the alert no-tick: log-volume tells instead.
param logDailyQuotaGb = -1
// Some more than the estimate of cost.md.
param monthlyBudget = 2500
// Asked for at the first deployment only, when it must not lie before the current month; it cannot be changed later.
param budgetStartDate = readEnvironmentVariable('BUDGET_START_DATE', '2026-12-01')

// The hospitals' own list, written by the step "departments" of deploy.md.
param departments = 'abfss://bronze@{lake}.dfs.core.windows.net/reference/departments'
