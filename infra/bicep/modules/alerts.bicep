// What wakes somebody. Dagster's own alerts know about runs and data; these see what Dagster cannot: that it does not
// run at all, that hospitals fell silent, that a service refuses or fills up, that money runs away.

import { tagsType } from '../types.bicep'

@description('Region of log alerts.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Stem of every name.')
param stem string

@description('Action group that is told.')
param actionGroupId string

@description('Log Analytics workspace.')
param workspaceId string

@description('Event Hubs namespace.')
param eventHubNamespaceId string

@description('Storage account of the lake.')
param lakeId string

@description('Dagster\'s PostgreSQL server.')
param postgresId string

@description('Key Vault.')
param vaultId string

@description('True where the warehouse is part of this deployment.')
param hasWarehouse bool

@description('Warehouse database; empty where the warehouse is not part of this deployment.')
param warehouseDatabaseId string

@description('Metric of that database that says how busy it is.')
param warehouseLoadMetric string

@description('Client id of the identity that may read the pseudonym key.')
param pipelineClientId string

@description('True once the apps run: alerts on their logs would otherwise fire at once.')
param appsRun bool

@description('True once a hospital sends: an alert on silence would otherwise fire from the first deployment on.')
param hospitalsSend bool

var platformAlerts = [
  {
    name: 'hub-throttled'
    description: 'Event Hubs refuses events: raise throughput units (eventhub.bicep) or find the producer that floods.'
    severity: 2
    scope: eventHubNamespaceId
    metricNamespace: 'Microsoft.EventHub/namespaces'
    metric: 'ThrottledRequests'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
  }
  {
    name: 'hub-silent'
    description: 'No event for 15 minutes from any hospital: producers, network or sign-in are down.'
    severity: 1
    scope: eventHubNamespaceId
    metricNamespace: 'Microsoft.EventHub/namespaces'
    metric: 'IncomingMessages'
    aggregation: 'Total'
    operator: 'LessThan'
    threshold: 1
    window: 'PT15M'
  }
  {
    name: 'hub-capture-behind'
    description: 'Capture does not keep up: the raw copy that disaster recovery relies on has a gap.'
    severity: 3
    scope: eventHubNamespaceId
    metricNamespace: 'Microsoft.EventHub/namespaces'
    // Total is the one aggregation that Azure Monitor lists for it. What waits for the next file of Capture counts too:
    // at 5,000 events a second of half a kilobyte, 750 MB; raise the threshold there.
    metric: 'CaptureBacklog'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 50000000
    window: 'PT5M'
  }
  {
    name: 'lake-unavailable'
    description: 'The lake refuses or loses requests; the pipeline retries by itself, look at Azure service health.'
    severity: 1
    scope: lakeId
    metricNamespace: 'Microsoft.Storage/storageAccounts'
    metric: 'Availability'
    aggregation: 'Average'
    operator: 'LessThan'
    threshold: 99
    window: 'PT15M'
  }
  {
    name: 'dagster-storage-full'
    description: 'Run history fills its disk: is the daily pruning at work?'
    severity: 2
    scope: postgresId
    metricNamespace: 'Microsoft.DBforPostgreSQL/flexibleServers'
    metric: 'storage_percent'
    aggregation: 'Average'
    operator: 'GreaterThan'
    threshold: 80
    window: 'PT1H'
  }
  {
    name: 'dagster-storage-busy'
    description: 'PostgreSQL is out of breath: next size up (postgresSkuName).'
    severity: 3
    scope: postgresId
    metricNamespace: 'Microsoft.DBforPostgreSQL/flexibleServers'
    metric: 'cpu_percent'
    aggregation: 'Average'
    operator: 'GreaterThan'
    threshold: 90
    window: 'PT30M'
  }
  {
    name: 'vault-unavailable'
    description: 'Key Vault does not answer: apps cannot restart.'
    severity: 2
    scope: vaultId
    metricNamespace: 'Microsoft.KeyVault/vaults'
    metric: 'Availability'
    aggregation: 'Average'
    operator: 'LessThan'
    threshold: 99
    window: 'PT15M'
  }
]

resource platform 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in filter(platformAlerts, rule => hospitalsSend || rule.name != 'hub-silent'): {
    name: 'alert-${stem}-${alert.name}'
    location: 'global'
    tags: tags
    properties: {
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [
        alert.scope
      ]
      evaluationFrequency: 'PT5M'
      windowSize: alert.window
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: alert.metricNamespace
            metricName: alert.metric
            timeAggregation: alert.aggregation
            operator: alert.operator
            threshold: alert.threshold
          }
        ]
      }
      actions: [
        {
          actionGroupId: actionGroupId
        }
      ]
    }
  }
]

resource warehouseBusy 'Microsoft.Insights/metricAlerts@2026-01-01' = if (hasWarehouse) {
  name: 'alert-${stem}-warehouse-busy'
  location: 'global'
  tags: tags
  properties: {
    description: 'The warehouse is near its limit: loads and dashboards slow down.'
    severity: 3
    enabled: true
    scopes: [
      warehouseDatabaseId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'busy'
          metricName: warehouseLoadMetric
          timeAggregation: 'Average'
          operator: 'GreaterThan'
          threshold: 85
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroupId
      }
    ]
  }
}

// Of the apps' own tables, which on Kubernetes do not exist.
var appAlerts = [
  {
    name: 'no-tick'
    description: 'The sensor has not been evaluated for ten minutes: daemon or code location hang. Restart both apps.'
    severity: 1
    query: 'ContainerAppConsoleLogs | where ContainerAppName == "daemon" | where Log has "event_hub_backlog"'
    operator: 'LessThan'
    threshold: 1
    frequency: 'PT5M'
    window: 'PT10M'
  }
  {
    name: 'run-failed'
    description: 'Three or more micro-batches failed within half an hour. The run page in the web UI says why.'
    severity: 1
    query: 'ContainerAppConsoleLogs | where ContainerAppName == "code" | where Log has "RUN_FAILURE"'
    operator: 'GreaterThan'
    threshold: 2
    frequency: 'PT5M'
    window: 'PT30M'
  }
]

var auditAlerts = [
  {
    name: 'lake-refused'
    description: 'Somebody or something was refused by the lake: a missing right, or a probe.'
    severity: 3
    query: 'StorageBlobLogs | where tostring(StatusCode) == "403" | where AuthenticationType != "Anonymous"'
    operator: 'GreaterThan'
    threshold: 10
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'key-read'
    description: 'The key of pseudonyms or erasures was read by someone other than the pipeline: with it, guesses of patient numbers can be checked.'
    severity: 1
    query: 'AzureDiagnostics | where ResourceType == "VAULTS" and OperationName == "SecretGet" | where id_s has_any ("pseudonym-key", "erasure-key") | where identity_claim_appid_g != "${pipelineClientId}"'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'log-volume'
    description: 'More than 10 GB of logs within a day: what writes them? The table Usage says, by DataType.'
    severity: 3
    query: 'Usage | where IsBillable | summarize megabytes = sum(Quantity) | where megabytes > 10000'
    operator: 'GreaterThan'
    threshold: 0
    frequency: 'PT1H'
    window: 'P1D'
  }
]

resource fromLogs 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in concat(auditAlerts, appsRun ? appAlerts : []): {
    name: 'alert-${stem}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.name
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [
        workspaceId
      ]
      evaluationFrequency: alert.frequency
      windowSize: alert.window
      autoMitigate: true
      // Tables appear with their first row: a new workspace has none yet.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alert.query
            timeAggregation: 'Count'
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: [
          actionGroupId
        ]
      }
    }
  }
]
