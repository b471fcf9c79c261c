"""The words that sample data is made of, the frequent ones first with their weights."""

from __future__ import annotations

CITIES = {
    "Paris": 30, "Lyon": 12, "Marseille": 8, "Toulouse": 8, "Nantes": 7, "Bordeaux": 7, "Lille": 6,
    "Rennes": 4, "Strasbourg": 4, "Montpellier": 4, "Nice": 3, "Grenoble": 3, "Rouen": 1, "Dijon": 1,
    "Angers": 1, "Brest": 1,
}  # fmt: skip

FIRST_NAMES = (
    "Camille", "Louis", "Emma", "Gabriel", "Jade", "Raphaël", "Louise", "Arthur", "Alice", "Hugo", "Chloé",
    "Jules", "Lina", "Adam", "Rose", "Nathan", "Anna", "Paul", "Inès", "Yanis", "Sarah", "Mehdi", "Amina",
    "Karim",
)  # fmt: skip

LAST_NAMES = (
    "Martin", "Bernard", "Thomas", "Petit", "Robert", "Richard", "Durand", "Dubois", "Moreau", "Laurent",
    "Simon", "Michel", "Lefebvre", "Leroy", "Roux", "David", "Bertrand", "Morel", "Fournier", "Girard",
    "Bonnet", "Diallo", "Benali", "Nguyen", "Da Silva", "Garcia", "Haddad", "Traoré",
)  # fmt: skip

INDUSTRIES = {
    "Software": 20, "Retail": 12, "Health care": 12, "Construction": 10, "Finance": 9, "Logistics": 8,
    "Hospitality": 8, "Manufacturing": 8, "Education": 7, "Energy": 6,
}  # fmt: skip

COMPANY_SIZES = {"1-10": 30, "11-50": 30, "51-200": 22, "201-500": 10, "501-1000": 5, "1000+": 3}
COMPANY_STEMS = (
    "Atelier", "Nova", "Azur", "Hexa", "Loire", "Boréal", "Cobalt", "Delta", "Écho", "Faro", "Granit",
    "Horizon", "Iris", "Jura", "Kepler", "Lumen", "Mistral", "Nérée", "Opale", "Prisme", "Quartz", "Rhône",
    "Sable", "Tilia",
)  # fmt: skip
COMPANY_ENDINGS = (
    "Conseil",
    "Services",
    "Systems",
    "Group",
    "Partners",
    "Industrie",
    "Digital",
    "Santé",
    "Lab",
)

# Titles with the middle of their yearly salary in EUR.
OCCUPATIONS = {
    "Software Engineer": 52_000, "Backend Developer": 50_000, "Frontend Developer": 46_000,
    "Data Engineer": 54_000, "Data Analyst": 44_000, "DevOps Engineer": 55_000, "Product Manager": 60_000,
    "UX Designer": 45_000, "Nurse": 32_000, "Care Assistant": 24_000, "Sales Assistant": 23_000,
    "Account Manager": 42_000, "Store Manager": 36_000, "Warehouse Operator": 23_500,
    "Delivery Driver": 23_000, "Forklift Driver": 24_000, "Electrician": 30_000, "Plumber": 30_000,
    "Site Manager": 45_000, "Accountant": 38_000, "Payroll Officer": 34_000, "Chef de Partie": 27_000,
    "Waiter": 22_500, "Hotel Receptionist": 24_000, "Teacher": 33_000, "Translator": 32_000,
    "Mechanical Engineer": 46_000, "Welder": 28_000, "Quality Inspector": 31_000, "Project Manager": 50_000,
}  # fmt: skip
GRADES = {"": 50, "Junior ": 18, "Senior ": 22, "Lead ": 6, "Head of Team, ": 4}
GRADE_PAY = {"": 1.0, "Junior ": 0.82, "Senior ": 1.28, "Lead ": 1.45, "Head of Team, ": 1.6}

JOB_TYPE_WEIGHTS = {"full_time": 62, "part_time": 14, "contract": 12, "temporary": 6, "internship": 6}
LOCATION_TYPE_WEIGHTS = {"on_site": 60, "hybrid": 28, "remote": 12}
BENEFITS = (
    "Meal vouchers, health insurance, 50 % of public transport",
    "13th month, works council, canteen",
    "Two days from home a week, training budget, health insurance",
    "Bicycle allowance, profit sharing, extra days off",
)

SKILLS = {
    "Python": "technical", "SQL": "technical", "JavaScript": "technical", "Excel": "technical",
    "Docker": "technical", "PostgreSQL": "technical", "Welding": "technical", "First aid": "technical",
    "Accounting": "technical", "Teamwork": "soft", "Negotiation": "soft", "Organisation": "soft",
    "Customer service": "soft", "French": "language", "English": "language", "Spanish": "language",
    "Arabic": "language", "German": "language",
}  # fmt: skip
DEGREES = ("Baccalauréat", "BTS", "Licence", "Master", "CAP", "Diplôme d'ingénieur")
SCHOOLS = (
    "Université de Lyon", "Université de Nantes", "Sorbonne Université", "INSA Toulouse", "IUT de Lille",
    "Lycée Jean Moulin", "Université de Bordeaux", "CFA de Rennes",
)  # fmt: skip

LETTER_OPENINGS = (
    "Your offer matches what I have been doing for the last years.",
    "I have followed your company for some time and would be glad to join it.",
    "After a change of city I am looking for exactly such a position.",
    "A former colleague who works with you told me about this position.",
)
LETTER_MIDDLES = (
    "In my current position I am responsible for a team of four and for its schedule.",
    "I learn quickly, work with care and like to share what I know.",
    "My last employer will gladly tell you about my work; references are in the CV.",
    "I bring the certificates that you ask for, and experience with similar tasks.",
)
LETTER_ENDINGS = (
    "I can start at once.",
    "My notice period is one month.",
    "I am available for an interview at any time.",
)
