// Package easy holds the events without type parameters, which easyjson cannot generate for: an envelope per type.
package easy

import "github.com/sipeat/sipeat/shared/proof/decoders"

//go:generate go run github.com/mailru/easyjson/easyjson@v0.9.2 -pkg -no_std_marshalers

type (
	//easyjson:json
	ContactEvent struct {
		ID       string   `json:"eventId"`
		Type     string   `json:"eventType"`
		Data     Contact  `json:"data"`
		Metadata Metadata `json:"metadata"`
	}
	//easyjson:json
	MachineEvent struct {
		ID       string   `json:"eventId"`
		Type     string   `json:"eventType"`
		Data     Machine  `json:"data"`
		Metadata Metadata `json:"metadata"`
	}
	//easyjson:json
	RequestEvent struct {
		ID       string   `json:"eventId"`
		Type     string   `json:"eventType"`
		Data     Request  `json:"data"`
		Metadata Metadata `json:"metadata"`
	}
	//easyjson:json
	NotificationEvent struct {
		ID       string       `json:"eventId"`
		Type     string       `json:"eventType"`
		Data     Notification `json:"data"`
		Metadata Metadata     `json:"metadata"`
	}
	//easyjson:json
	Metadata struct {
		Timestamp     decoders.LateTime `json:"timestamp"`
		Producer      string            `json:"producer"`
		CorrelationID string            `json:"correlationId,omitempty"`
		CausationID   string            `json:"causationId,omitempty"`
	}
	//easyjson:json
	Contact struct {
		ID              string            `json:"id"`
		Name            string            `json:"name"`
		Email           string            `json:"email"`
		Phone           string            `json:"phone"`
		Message         string            `json:"message"`
		CompanyName     string            `json:"companyName,omitempty"`
		MachineLocation string            `json:"machineLocation,omitempty"`
		Timestamp       decoders.LateTime `json:"timestamp"`
	}
	//easyjson:json
	Machine struct {
		ID           string            `json:"id"`
		Name         string            `json:"name"`
		Address      string            `json:"address"`
		City         string            `json:"city"`
		Country      string            `json:"country"`
		ContactName  string            `json:"contactName"`
		ContactEmail string            `json:"contactEmail"`
		ContactPhone string            `json:"contactPhone"`
		Timestamp    decoders.LateTime `json:"timestamp"`
	}
	//easyjson:json
	Request struct {
		ID         string            `json:"id"`
		Name       string            `json:"name"`
		Email      string            `json:"email"`
		Phone      string            `json:"phone"`
		Address    string            `json:"address"`
		City       string            `json:"city"`
		Country    string            `json:"country"`
		DrinksList []string          `json:"drinksList"`
		MachineID  string            `json:"machineId,omitempty"`
		Timestamp  decoders.LateTime `json:"timestamp"`
	}
	//easyjson:json
	Notification struct {
		ID             string            `json:"id,omitempty"`
		Type           string            `json:"type"`
		Message        string            `json:"message"`
		RecipientEmail string            `json:"recipientEmail,omitempty"`
		SubjectID      string            `json:"subjectId,omitempty"`
		Timestamp      decoders.LateTime `json:"timestamp"`
	}
)
