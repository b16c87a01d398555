// Where every resource sends its logs and metrics, and who is told when something is wrong.

import { tagsType } from '../types.bicep'

@description('Region of all resources.')
param location string

@description('Tags of all resources.')
param tags tagsType

@description('Workload and environment, as in patientflow-prod: the stem of every name.')
param stem string

@description('Days that logs stay searchable. Audit logs of health data are usually kept for a year or more.')
param retentionInDays int

@description('Gigabytes a day after which everything else is dropped, audit events and heartbeats included; -1 for no limit.')
param dailyQuotaGb int

@description('Who gets alerts and budget warnings.')
param alertEmails string[]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: 'log-${stem}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionInDays
    features: {
      // Log access follows the rights on the resource that wrote the log.
      enableLogAccessUsingOnlyResourcePermissions: true
      // Entra ID only. Container Apps reach the workspace through a diagnostic setting, which needs no key.
      disableLocalAuth: true
    }
    workspaceCapping: {
      dailyQuotaGb: dailyQuotaGb
    }
  }
}

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${stem}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'patientflow'
    enabled: true
    emailReceivers: [
      for email in alertEmails: {
        name: email
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

output workspaceId string = workspace.id
output workspaceName string = workspace.name
output actionGroupId string = operators.id
