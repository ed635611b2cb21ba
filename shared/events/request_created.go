package events

// Request is a wish for drinks.
type Request struct {
	Name       string   `json:"name" validate:"text,max=200"`
	Email      string   `json:"email" validate:"address"`
	Phone      string   `json:"phone" validate:"phone"`
	Address    string   `json:"address" validate:"prose,max=400"`
	City       string   `json:"city" validate:"text,max=120"`
	Country    string   `json:"country" validate:"text,max=120"`
	DrinksList []string `json:"drinksList" validate:"min=1,max=20,dive,text,max=120"`
	MachineID  string   `json:"machineId,omitempty" validate:"omitempty,max=128,token"`
}

// RequestCreated says that a customer asked for drinks.
type RequestCreated struct {
	Base
	Request
}

func (RequestCreated) Topic() string { return "request-created" }
