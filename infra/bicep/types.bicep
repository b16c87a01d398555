// Types that several templates share.

@export()
@description('Tags of a resource.')
type tagsType = {
  *: string
}

@export()
@description('A user-assigned managed identity.')
type identityType = {
  id: string
  name: string
  clientId: string
  principalId: string
}

@export()
@description('An environment variable: a value, or the name of a secret of its app.')
type settingType = {
  name: string
  value: string?
  secretRef: string?
}

@export()
@description('A secret of an app, read from Key Vault by an identity (resource id).')
type secretType = {
  name: string
  keyVaultUrl: string
  identity: string
}

@export()
@description('A web page: it exists only with a sign-in and at least one group that may open it.')
type pageType = {
  port: int
  @minLength(36)
  signInClientId: string
  @minLength(1)
  allowedGroupIds: groupIdType[]
  @description('CIDR ranges that may open the page; at least one, since no rule at all admits everybody.')
  @minLength(1)
  allowedRanges: string[]
}

@export()
@description('Object id of an Entra group.')
@minLength(36)
@maxLength(36)
type groupIdType = string

@export()
@description('Which alert channels have their secret in the vault.')
type alertChannelsType = {
  teams: bool
  bedTeams: bool
  smtp: bool
}
