// Package queries is the reading side: each function reads the read model. It does not use Kafka.
package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
)

// Queries are the dependencies of the functions.
type Queries struct {
	Store  store.Reader
	Claims interface { // of notifications; store.Claims has it
		Deliveries(ctx context.Context, ids ...string) (map[string][]store.Delivery, error)
	}
}

// Functions lists the endpoints. All are for staff, because they show personal data.
func (q Queries) Functions() []web.Function {
	return []web.Function{
		{Name: "get-contact", Route: "GET /contacts/{id}",
			Summary: "Read a contact.", Handler: web.HandleQuery(q.GetContact), Staff: true},
		{Name: "list-contacts", Route: "GET /contacts",
			Summary: "List contacts, newest first.", Handler: web.HandleQuery(q.ListContacts), Staff: true},
		{Name: "get-machine", Route: "GET /machines/{id}",
			Summary: "Read a machine.", Handler: web.HandleQuery(q.GetMachine), Staff: true},
		{Name: "list-machines", Route: "GET /machines",
			Summary: "List machines, newest first.", Handler: web.HandleQuery(q.ListMachines), Staff: true},
		{Name: "get-request", Route: "GET /requests/{id}",
			Summary: "Read a drink request.", Handler: web.HandleQuery(q.GetRequest), Staff: true},
		{Name: "list-requests", Route: "GET /requests",
			Summary: "List drink requests, newest first.", Handler: web.HandleQuery(q.ListRequests), Staff: true},
		{Name: "get-notification", Route: "GET /notifications/{id}",
			Summary: "Read a notification and how far its deliveries are.", Handler: web.HandleQuery(q.GetNotification), Staff: true},
		{Name: "list-notifications", Route: "GET /notifications",
			Summary: "List notifications, newest first.", Handler: web.HandleQuery(q.ListNotifications), Staff: true},
		{Name: "get-demand", Route: "GET /demand",
			Summary: "Count drink requests by country, city and drink.", Handler: web.HandleQuery(q.GetDemand), Staff: true},
	}
}
