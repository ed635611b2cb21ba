package commands

import (
	"context"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// CreateNotification answers POST /notifications: staff notify someone.
func (c Commands) CreateNotification(ctx context.Context, command web.Command[events.Notice]) (web.Accepted, error) {
	return publish(ctx, c, events.Notification{Notice: command.Body}, command.Seed)
}
