local os = require("os")

local status = obj.status or {}
local candidate = status.candidate
if status.state ~= "Quarantined" or candidate == nil then
  local state = status.state or "Pending"
  error(obj.metadata.name .. " is " .. state .. "; only what is Quarantined can be released.", 0)
end

-- The revision is named, so that the word never carries over to another one.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["modelecology.io/release"] =
  candidate.revision .. "/argocd@" .. os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
