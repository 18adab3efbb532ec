import Foundation

func power(_ base: Double, _ exponent: Int) -> Double { Foundation.pow(base, Double(exponent)) }
