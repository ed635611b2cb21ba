package events

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

func (r RequestCreated) check(v *validator) {
	r.Base.check(v)
	v.text(Line, "/name", r.Name, maxName, required)
	v.text(Email, "/email", r.Email, 0, required)
	v.text(Phone, "/phone", r.Phone, 0, required)
	v.text(Prose, "/address", r.Address, maxAddress, required)
	v.text(Line, "/city", r.City, maxPlace, required)
	v.text(Line, "/country", r.Country, maxPlace, required)
	v.entries("/drinksList", r.DrinksList, maxDrinks, func(pointer, drink string) {
		v.text(Line, pointer, drink, maxDrink, required)
	})
	v.text(ID, "/machineId", r.MachineID, maxID, optional)
}
