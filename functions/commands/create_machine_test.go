package commands_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestCreateMachine(t *testing.T) {
	create := func(c commands.Commands) func(context.Context, web.Command[events.Machine]) (web.Accepted, error) {
		return c.CreateMachine
	}
	holds(t, create, events.Machine{
		Name: "Lobby 1", Address: "Friedrichstraße 43", City: "Berlin", Country: "Germany",
		ContactName: "Konrad Zuse", ContactEmail: "konrad@example.com", ContactPhone: "+49 30 1234567",
	}, func(e events.MachineCreated) any { return e.Machine })
	assert.Equal(t, []string{
		"/name", "/address", "/city", "/country", "/contactName", "/contactEmail", "/contactPhone",
	}, faults(t, create(commands.Commands{}), events.Machine{}))
}
