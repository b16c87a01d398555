// Development: one of everything at the smallest size, reachable from the team's addresses. Synthetic patients only.
using 'main.bicep'

param environmentName = 'dev'
param location = 'francecentral'

// Both change from one deployment to the next: the pipeline sets them.
param appsReady = bool(readEnvironmentVariable('APPS_READY', 'false'))
param imageName = readEnvironmentVariable('IMAGE_NAME', 'patient-flow:none')

param addressPrefix = '10.60.0.0/22'
param appsPrefix = '10.60.0.0/24'
param endpointsPrefix = '10.60.1.0/24'
param operationsPrefix = '10.60.2.0/26'
param isPrivate = false
// The team's office and build agents, as in ["203.0.113.7"]: they alone open the pages.
param operatorIps = json(readEnvironmentVariable('OPERATOR_IPS', '[]'))

// No defaults: without these the deployment is refused, and no page is published without sign-in.
param databaseAdminsGroupId = readEnvironmentVariable('DATABASE_ADMINS_GROUP_ID')
param databaseAdminsGroupName = readEnvironmentVariable('DATABASE_ADMINS_GROUP_NAME')
param operatorsGroupId = readEnvironmentVariable('OPERATORS_GROUP_ID')
param viewersGroupId = readEnvironmentVariable('VIEWERS_GROUP_ID')
param dashboardGroupId = readEnvironmentVariable('DASHBOARD_GROUP_ID')
param signInClientId = readEnvironmentVariable('SIGN_IN_CLIENT_ID')
param producerPrincipalIds = json(readEnvironmentVariable('PRODUCER_PRINCIPAL_IDS', '[]'))
param hospitalsSend = bool(readEnvironmentVariable('HOSPITALS_SEND', 'false'))
param alertEmails = json(readEnvironmentVariable('ALERT_EMAILS', '[]'))

param lakeSku = 'Standard_LRS'
param captureRetentionDays = 7

// Auto-inflate raises them and nothing lowers them: deploy.sh hands over what the namespace has now.
param throughputUnits = max(1, int(readEnvironmentVariable('THROUGHPUT_UNITS', '1')))
param maxThroughputUnits = 2
param partitionCount = 4
param hubRetentionHours = 24

// DTU model, the cheapest that is always on.
param warehouseKind = 'mssql'
param sqlDatabaseSku = 'S1'

param registrySku = 'Basic'
// Made and deleted at will.
param isVaultPurgeProtected = false
param postgresSkuName = 'Standard_B1ms'
param postgresSkuTier = 'Burstable'

param pipelineCpu = '1'
param pipelineMemory = '2Gi'

param logRetentionDays = 30
// Three times what a day writes (cost.md): beyond it audit and heartbeats are dropped too, and no-tick alerts.
param logDailyQuotaGb = 3
// Some more than the estimate of cost.md.
param monthlyBudget = 650
// Asked for at the first deployment only, when it must not lie before the current month; it cannot be changed later.
param budgetStartDate = readEnvironmentVariable('BUDGET_START_DATE', '2026-12-01')

// The demo's 7 hospitals × 7 departments.
param departments = ''
