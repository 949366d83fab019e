"""OneBot v11: a QQ account behind a program such as NapCat or Lagrange."""
