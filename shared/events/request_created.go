package events

import (
	"fmt"
	"strconv"
)

// Request is a customer's request for drinks.
type Request struct {
	Name       string   `json:"name"`
	Email      string   `json:"email"`
	Phone      string   `json:"phone"`
	Address    string   `json:"address"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	DrinksList []string `json:"drinksList"`
	MachineID  string   `json:"machineId,omitempty"`
}

// RequestCreated is the event that a customer requested drinks.
type RequestCreated struct {
	Base
	Request
}

func (RequestCreated) Topic() string { return "request-created" }

func (r RequestCreated) Validate() []FieldError {
	v := validator{r.Base.Validate()}
	v.text("/name", r.Name, maxName, required)
	v.email("/email", r.Email, required)
	v.phone("/phone", r.Phone, required)
	v.prose("/address", r.Address, maxAddress, required)
	v.text("/city", r.City, maxPlace, required)
	v.text("/country", r.Country, maxPlace, required)
	if n := len(r.DrinksList); n < 1 || n > maxDrinks {
		v.fault("/drinksList", fmt.Sprintf("must have 1 to %d entries", maxDrinks))
	}
	for i, drink := range r.DrinksList[:min(len(r.DrinksList), maxDrinks)] {
		v.text("/drinksList/"+strconv.Itoa(i), drink, maxDrink, required)
	}
	v.id("/machineId", r.MachineID, optional)
	return v.faults
}
