package commands_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestCreateContact(t *testing.T) {
	create := func(c commands.Commands) func(context.Context, web.Command[events.Contact]) (web.Accepted, error) {
		return c.CreateContact
	}
	holds(t, create, events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "A machine, please.",
	}, func(e events.ContactCreated) any { return e.Contact })
	assert.Equal(t, []string{"/name", "/email", "/phone", "/message"}, faults(t, create(commands.Commands{}), events.Contact{}))
}
