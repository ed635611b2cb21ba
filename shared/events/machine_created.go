package events

// Machine is a vending machine and whom to call about it.
type Machine struct {
	Name         string `json:"name" validate:"text,max=200"`
	Address      string `json:"address" validate:"prose,max=400"`
	City         string `json:"city" validate:"text,max=120"`
	Country      string `json:"country" validate:"text,max=120"`
	ContactName  string `json:"contactName" validate:"text,max=200"`
	ContactEmail string `json:"contactEmail" validate:"address"`
	ContactPhone string `json:"contactPhone" validate:"phone"`
}

// MachineCreated says that an operator registered a machine.
type MachineCreated struct {
	Base
	Machine
}

func (MachineCreated) Topic() string { return "machine-created" }
