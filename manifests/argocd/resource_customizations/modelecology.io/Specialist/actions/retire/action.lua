-- Where git says lifecycle.target and selfHeal is on, git wins at once: commit it there instead.
if obj.spec.lifecycle == nil then
  obj.spec.lifecycle = {}
end
obj.spec.lifecycle.target = "Retired"
return obj
