package commands_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestCreateRequest(t *testing.T) {
	create := func(c commands.Commands) func(context.Context, web.Command[events.Request]) (web.Accepted, error) {
		return c.CreateRequest
	}
	holds(t, create, events.Request{
		Name: "Grace Hopper", Email: "grace@example.com", Phone: "+1 (212) 555-0142", Address: "1 Harbor Way",
		City: "New York", Country: "USA", DrinksList: []string{"Espresso", "Mate"}, MachineID: "machine-1",
	}, func(e events.RequestCreated) any { return e.Request })
	assert.Equal(t, []string{
		"/name", "/email", "/phone", "/address", "/city", "/country", "/drinksList",
	}, faults(t, create(commands.Commands{}), events.Request{}))
}
