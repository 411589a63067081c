local os = require("os")

local stopped = { Rejected = true, Shelved = true, Quarantined = true, Failed = true }
local state = (obj.status or {}).state or "Pending"
if not stopped[state] then
  error(obj.metadata.name .. " is " .. state .. "; only what has stopped can be tried again.", 0)
end

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelecology.io/retry"] = "argocd@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
