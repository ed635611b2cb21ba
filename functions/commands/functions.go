// Package commands is the writing side: each function validates a request, publishes it as an event and answers with its
// position. It uses Kafka only as a [bus.Publisher], and no database.
package commands

import (
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// Commands are the dependencies of the functions.
type Commands struct {
	Events    events.Factory
	Publisher bus.Publisher
}

// Functions lists the endpoints.
func (c Commands) Functions() []web.Function {
	return []web.Function{
		{Name: "create-contact", Route: "POST /contacts", Handler: web.HandleCommand(c.CreateContact)},
		{Name: "create-machine", Route: "POST /machines", Handler: web.HandleCommand(c.CreateMachine)},
		{Name: "create-request", Route: "POST /requests", Handler: web.HandleCommand(c.CreateRequest)},
		{Name: "create-notification", Route: "POST /notifications", Handler: web.HandleCommand(c.CreateNotification), Staff: true},
	}
}
