-- A Decision is a line of a log: that it was written down is well, whatever it says.
local spec = obj.spec
local message = spec.subject.specialist .. ": " .. spec.action .. ", " .. spec.from .. " -> " .. spec.to
return { status = "Healthy", message = message .. ", " .. spec.reason }
