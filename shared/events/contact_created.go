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
	v.text(Line, "/name", c.Name, maxName, required)
	v.text(Email, "/email", c.Email, 0, required)
	v.text(Phone, "/phone", c.Phone, 0, required)
	v.text(Prose, "/message", c.Message, maxMessage, required)
	v.text(Line, "/companyName", c.CompanyName, maxName, optional)
	v.text(Prose, "/machineLocation", c.MachineLocation, maxAddress, optional)
}
