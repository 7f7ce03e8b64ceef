package harbour

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// account is a row of users. What of it may leave is in profile and member.
type account struct {
	ID           int64
	Email        string
	Name         string
	Phone        string
	Role         string
	CompanyID    int64
	PasswordHash string
	Balance      int64
	Status       string
	CreatedAt    string
}

const accountQuery = `SELECT id, email, name, phone, role, company_id, password_hash, balance_cents, status, created_at FROM users`

func scanAccount(r scanner) (account, error) {
	var a account
	return a, r.Scan(&a.ID, &a.Email, &a.Name, &a.Phone, &a.Role, &a.CompanyID, &a.PasswordHash, &a.Balance, &a.Status, &a.CreatedAt)
}

func (a account) user() user { return user{a.ID, a.Name, a.Role, a.CompanyID} }

func (s *Server) accountByEmail(ctx context.Context, email string) (account, error) {
	return one(ctx, s.db, scanAccount, accountQuery+` WHERE email = ?`, strings.ToLower(email))
}

func (s *Server) accountByID(ctx context.Context, id int64) (account, error) {
	a, err := one(ctx, s.db, scanAccount, accountQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return a, notFound("account")
	}
	return a, err
}

// profile is what an account's owner sees of it.
type profile struct {
	ID        int64  `json:"id"`
	Email     string `json:"email"`
	Name      string `json:"name"`
	Phone     string `json:"phone,omitempty"`
	Role      string `json:"role"`
	CompanyID int64  `json:"company_id"`
	CreatedAt string `json:"created_at"`

	// Only set by the open branch of excess-profile-fields.
	PasswordHash string `json:"password_hash,omitempty"`
	Balance      *int64 `json:"balance_cents,omitempty"`
	Status       string `json:"status,omitempty"`
}

func (s *Server) profileOf(a account) profile {
	p := profile{ID: a.ID, Email: a.Email, Name: a.Name, Phone: a.Phone, Role: a.Role, CompanyID: a.CompanyID, CreatedAt: a.CreatedAt}
	if s.open("excess-profile-fields") {
		// The whole row goes out and the app is trusted to show only some of it.
		p.PasswordHash, p.Balance, p.Status = a.PasswordHash, &a.Balance, a.Status
	}
	return p
}

type registerInput struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Name     string `json:"name"`
	Phone    string `json:"phone"`
	Company  string `json:"company"`
}

// register answers alike for new and for taken addresses: the owner of a taken
// one gets a mail instead.
func (s *Server) register(c *call) error {
	var in registerInput
	role := customer
	if s.open("mass-assign-role") {
		// The body is bound to the whole record, and "role" is one of its fields.
		var all struct {
			registerInput
			Role string `json:"role"`
		}
		err := c.decode(&all)
		if err != nil {
			return err
		}
		in = all.registerInput
		if all.Role != "" {
			role = all.Role
		}
	} else if err := c.decode(&in); err != nil {
		return err
	}
	var k checker
	k.email("/email", in.Email)
	k.text("/password", in.Password, 10, 128)
	k.text("/name", in.Name, 1, 80)
	k.text("/company", in.Company, 0, 80)
	k.optional("/phone", in.Phone, rePhone)
	if err := k.err(); err != nil {
		return err
	}
	hash, err := s.hashPassword(in.Password)
	if err != nil {
		return err
	}
	_, err = s.accountByEmail(c.ctx(), in.Email)
	switch {
	case errors.Is(err, errNoRow):
		err = s.addCustomer(c.ctx(), in, role, hash)
	case err == nil:
		s.log.Info("registration for a known address mailed to its owner")
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusAccepted, map[string]string{"status": "accepted"})
}

func (s *Server) addCustomer(ctx context.Context, in registerInput, role, hash string) error {
	name := in.Company
	if name == "" {
		name = in.Name
	}
	company, err := insert(ctx, s.db, `INSERT INTO companies (name) VALUES (?)`, name)
	if err != nil {
		return err
	}
	_, err = insert(ctx, s.db, `INSERT INTO users (email, name, phone, role, company_id, password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		strings.ToLower(in.Email), in.Name, in.Phone, role, company, hash, stamp(s.now()))
	if err != nil {
		return fmt.Errorf("adding a customer: %w", err)
	}
	return nil
}

func (s *Server) getMe(c *call) error {
	a, err := s.accountByID(c.ctx(), c.who.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, s.profileOf(a))
}

type profileInput struct {
	Name  *string `json:"name"`
	Phone *string `json:"phone"`
}

func (s *Server) patchMe(c *call) error {
	var in profileInput
	if s.open("mass-assign-balance") {
		// Every column that the body names is written.
		var all struct {
			profileInput
			Balance *int64 `json:"balance_cents"`
		}
		err := c.decode(&all)
		if err != nil {
			return err
		}
		in = all.profileInput
		if all.Balance != nil {
			_, err = exec(c.ctx(), s.db, `UPDATE users SET balance_cents = ? WHERE id = ?`, *all.Balance, c.who.ID)
			if err != nil {
				return err
			}
		}
	} else if err := c.decode(&in); err != nil {
		return err
	}
	var k checker
	k.some(in.Name != nil, in.Phone != nil, s.open("mass-assign-balance"))
	if in.Name != nil {
		k.text("/name", *in.Name, 1, 80)
	}
	if in.Phone != nil {
		k.match("/phone", *in.Phone, rePhone)
	}
	if err := k.err(); err != nil {
		return err
	}
	_, err := exec(c.ctx(), s.db, `UPDATE users SET name = coalesce(?, name), phone = coalesce(?, phone) WHERE id = ?`, in.Name, in.Phone, c.who.ID)
	if err != nil {
		return err
	}
	return s.getMe(c)
}

type member struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	CompanyID int64  `json:"company_id"`
}

// listMembers shows the colleagues of the caller.
func (s *Server) listMembers(c *call) error {
	all, err := many(c.ctx(), s.db, scanAccount, accountQuery+` WHERE company_id = ? ORDER BY id LIMIT 200`, c.who.Company)
	if err != nil {
		return err
	}
	items := make([]member, len(all))
	for i, a := range all {
		items[i] = member{a.ID, a.Name, a.Role, a.CompanyID}
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}
