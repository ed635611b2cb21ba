package events_test

import (
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Acceptable inputs with every field filled.

func contact() events.Contact {
	return events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "Call me.",
		CompanyName: "Analytical Engines Ltd", MachineLocation: "Second floor",
	}
}

func machine() events.Machine {
	return events.Machine{
		Name: "Lobby 1", Address: "Friedrichstraße 43", City: "Berlin", Country: "Germany",
		ContactName: "Konrad Zuse", ContactEmail: "konrad@example.com", ContactPhone: "+49 30 1234567",
	}
}

func request() events.Request {
	return events.Request{
		Name: "Grace Hopper", Email: "grace@example.com", Phone: "+1 (212) 555-0142", Address: "1 Harbor Way",
		City: "New York", Country: "USA", DrinksList: []string{"Espresso", "Mate", "Ginger ale"}, MachineID: "m-1",
	}
}

func notice() events.Notice {
	return events.Notice{Type: "request", Message: "Hello", RecipientEmail: "staff@example.com", SubjectID: "r-1"}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123_456_789, time.UTC)
