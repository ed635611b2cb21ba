package commands_test

import (
	"context"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestCreateNotification(t *testing.T) {
	create := func(c commands.Commands) func(context.Context, web.Command[events.Notice]) (web.Accepted, error) {
		return c.CreateNotification
	}
	holds(t, create, events.Notice{
		Type: "machine", Message: "Lobby 1 is empty.", RecipientEmail: "ada@example.com", SubjectID: "machine-1",
	}, func(e events.Notification) any { return e.Notice })
	assert.Equal(t, []string{"/type", "/message"}, faults(t, create(commands.Commands{}), events.Notice{}))
}
