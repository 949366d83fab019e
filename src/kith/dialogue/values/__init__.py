"""Values in what people say, in Chinese and English: numbers, days, times, money, places."""
