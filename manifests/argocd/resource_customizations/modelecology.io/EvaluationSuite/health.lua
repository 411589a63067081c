-- Nothing happens to an EvaluationSuite: it is sealed by its creation, and has no status.
return { status = "Healthy", message = #obj.spec.tasks .. " tasks, sealed. Another suite takes another name." }
