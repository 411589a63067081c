local os = require("os")

local status = obj.status or {}
local reason = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    reason = condition.reason
  end
end
if reason ~= "AwaitingApproval" or status.candidate == nil then
  error("Nothing of " .. obj.metadata.name .. " waits for approval.", 0)
end
if status.observedGeneration ~= obj.metadata.generation then
  error("The spec of " .. obj.metadata.name .. " has just changed. Look at it again.", 0)
end

-- The revision is named, so that an approval never carries over to another one.
local approval = status.candidate.revision .. "/argocd@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelecology.io/approve"] = approval
return obj
