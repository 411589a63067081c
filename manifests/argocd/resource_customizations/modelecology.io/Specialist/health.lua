-- Health of a Specialist, by the conditions that its operator keeps. Every case: docs/gitops.md.

-- Sound, and standing still until a person, more evidence or the budget's window moves it.
local waits = {
  AwaitingApproval = true,
  BudgetSpent = true,
  CapacityFull = true,
  InsufficientEvidence = true,
  PortfolioGainDoesNotRepayCost = true,
  -- Retired and yet not Ready: evidence retired it, though lifecycle.target asks for it.
  Retired = true,
  -- Serving and yet not Ready: lifecycle.target is Shadow, and a live revision does not go back there.
  Serving = true,
}
-- On its way, although the condition Progressing is kept for work on a candidate.
local passes = {
  Queued = true,
  Unloading = true,
}

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

-- What stands still for any other reason needs a person.
local health = "Degraded"
if is(ready) then
  health = "Healthy"
elseif is(conditions.Degraded) then
  health = "Degraded"
elseif waits[ready.reason] or status.state == "Shelved" then
  health = "Suspended"
elseif is(conditions.Progressing) or passes[ready.reason] then
  health = "Progressing"
end
return { status = health, message = ready.message }
