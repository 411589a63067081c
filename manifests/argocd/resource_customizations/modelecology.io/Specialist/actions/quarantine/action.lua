local os = require("os")

local status = obj.status or {}
local candidate = status.candidate or {}
local serving = status.live
-- Of a canary and of who served before it, the canary goes.
if candidate.state == "Canary" or (serving == nil and candidate.state == "Shadow") then
  serving = candidate
end
if serving == nil then
  local state = status.state or "Pending"
  error(obj.metadata.name .. " is " .. state .. "; only what is Shadow, Canary or Live can be quarantined.", 0)
end

-- The revision is named, so that the word never carries over to another one.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelecology.io/quarantine"] =
  serving.revision .. "/argocd@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
