package events

// Contact is what a visitor leaves to be called back.
type Contact struct {
	Name            string `json:"name"`
	Email           string `json:"email"`
	Phone           string `json:"phone"`
	Message         string `json:"message"`
	CompanyName     string `json:"companyName,omitempty"`
	MachineLocation string `json:"machineLocation,omitempty"`
}

// ContactCreated is the event that a visitor left contact details.
type ContactCreated struct {
	Base
	Contact
}

func (ContactCreated) Topic() string { return "contact-created" }

func (c ContactCreated) check(v *validator) {
	c.Base.check(v)
	v.text("/name", c.Name, maxName, required)
	v.email("/email", c.Email, required)
	v.phone("/phone", c.Phone, required)
	v.prose("/message", c.Message, maxMessage, required)
	v.text("/companyName", c.CompanyName, maxName, optional)
	v.prose("/machineLocation", c.MachineLocation, maxAddress, optional)
}
