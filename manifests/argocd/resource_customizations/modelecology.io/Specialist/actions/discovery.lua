-- Only what would do something now is offered. Each action checks the same again, because Argo CD runs any
-- action by its name, offered or not.
local stopped = { Rejected = true, Shelved = true, Quarantined = true, Failed = true }

local status = obj.status or {}
local lifecycle = obj.spec.lifecycle or {}
local seen = status.observedGeneration == obj.metadata.generation
local reason = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    reason = condition.reason
  end
end

local actions = {}
if seen and reason == "AwaitingApproval" and status.candidate ~= nil then
  actions["approve"] = { displayName = "Approve", iconClass = "fa fa-fw fa-check" }
end
if seen and stopped[status.state] then
  actions["retry"] = { displayName = "Retry", iconClass = "fa fa-fw fa-redo" }
end
local tried = status.candidate ~= nil and (status.candidate.state == "Shadow" or status.candidate.state == "Canary")
if status.live ~= nil or tried then
  actions["quarantine"] = { displayName = "Quarantine", iconClass = "fa fa-fw fa-ban" }
end
if seen and status.state == "Quarantined" and status.candidate ~= nil then
  actions["release"] = { displayName = "Release", iconClass = "fa fa-fw fa-unlock" }
end
if lifecycle.target == "Retired" then
  actions["restore"] = { displayName = "Restore", iconClass = "fa fa-fw fa-undo" }
else
  actions["retire"] = { displayName = "Retire", iconClass = "fa fa-fw fa-archive" }
end
return actions
