package events

// Machine is a vending machine and the contact for it.
type Machine struct {
	Name         string `json:"name"`
	Address      string `json:"address"`
	City         string `json:"city"`
	Country      string `json:"country"`
	ContactName  string `json:"contactName"`
	ContactEmail string `json:"contactEmail"`
	ContactPhone string `json:"contactPhone"`
}

// MachineCreated is the event that an operator registered a machine.
type MachineCreated struct {
	Base
	Machine
}

func (MachineCreated) Topic() string { return "machine-created" }

func (m MachineCreated) check(v *validator) {
	m.Base.check(v)
	v.text(Line, "/name", m.Name, maxName, required)
	v.text(Prose, "/address", m.Address, maxAddress, required)
	v.text(Line, "/city", m.City, maxPlace, required)
	v.text(Line, "/country", m.Country, maxPlace, required)
	v.text(Line, "/contactName", m.ContactName, maxName, required)
	v.text(Email, "/contactEmail", m.ContactEmail, 0, required)
	v.text(Phone, "/contactPhone", m.ContactPhone, 0, required)
}
