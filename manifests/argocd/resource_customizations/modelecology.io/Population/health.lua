-- Health of a Population, by the conditions that its operator keeps. Every case: docs/gitops.md.

local function is(condition)
  return condition ~= nil and condition.status == "True"
end

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not looked at this generation yet." }
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if ready == nil then
  return { status = "Progressing", message = "The operator has not judged it yet." }
end

local health = "Progressing"
if is(ready) then
  health = "Healthy"
elseif is(conditions.Degraded) then
  health = "Degraded"
end
return { status = health, message = ready.message }
